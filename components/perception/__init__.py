"""Frozen eyes and ears behind narrow interfaces: official networks, or small embedded ones by name.

Heavy libraries are imported only by the constructors that need them; import the modules directly, e.g.
`from components.perception.faces import FaceDetector`.
"""
