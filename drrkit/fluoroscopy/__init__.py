"""What a real X-ray machine adds to line integrals: spectrum, scatter, noise, blur, distortion. All simulated.

Path lengths by material (:mod:`~drrkit.fluoroscopy.materials`), with solids in the beam
(:mod:`~drrkit.fluoroscopy.solids`), become the counts of one exposure (:mod:`~drrkit.fluoroscopy.exposure`) of a
machine (:mod:`~drrkit.fluoroscopy.devices`). docs/fluoroscopy.md says what is modelled and what is not.
"""
