"""What a real X-ray machine adds to line integrals: spectrum, scatter, noise, blur, distortion. All simulated."""
