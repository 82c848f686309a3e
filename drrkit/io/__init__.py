"""Files in, nouns out: the door to SimpleITK, pydicom and OpenCV."""
