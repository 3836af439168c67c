"""Ground floor: schema, paths, seeds, files, media, progress, errors. Imports no other room."""
