"""Line integrals through a volume: one front, several backends."""
