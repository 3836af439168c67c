-- Run once, by the PostgreSQL image, on an empty data folder: one database a service.
CREATE DATABASE prefect;
CREATE DATABASE mlflow;
