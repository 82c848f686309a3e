"""What survives de-identification: geometry, technique and image attributes, each with the values it may have.

Everything that is not named here is dropped, at every depth. No name below is among those that PS3.15 table E.1-1
(Basic Application Level Confidentiality Profile) removes, except UIDs and dates, which are replaced as that table asks.
Free text has no place here; the device's make and model, which the table does not list, stay because cameras share
intrinsics by device.
"""

from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    EnhancedCTImageStorage,
    EnhancedXAImageStorage,
    EnhancedXRFImageStorage,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
)

CT_CLASSES = (CTImageStorage, EnhancedCTImageStorage)
XRAY_CLASSES = (
    XRayAngiographicImageStorage,
    EnhancedXAImageStorage,
    XRayRadiofluoroscopicImageStorage,
    EnhancedXRFImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ComputedRadiographyImageStorage,
)

# Numbers. A value that is no number is dropped, whatever its VR says.
NUMBERS = frozenset(
    (
        # General Image, Image Pixel, Multi-frame, Cine (PS3.3 C.7.6.1, C.7.6.3, C.7.6.5, C.7.6.6)
        *("SeriesNumber", "InstanceNumber", "AcquisitionNumber", "NumberOfFrames", "FrameTime", "FrameTimeVector"),
        *("CineRate", "RecommendedDisplayFrameRate", "Rows", "Columns", "SamplesPerPixel", "PixelAspectRatio"),
        *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue"),
        *("PixelPaddingRangeLimit", "LossyImageCompressionRatio"),
        # Modality LUT, VOI LUT, X-Ray Image (C.11.1, C.11.2, C.8.7.1)
        *("RescaleIntercept", "RescaleSlope", "WindowCenter", "WindowWidth", "PixelIntensityRelationshipSign"),
        "LUTDescriptor",
        # Image Plane, CT Image (C.7.6.2, C.8.2.1)
        *("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", "SpacingBetweenSlices"),
        *("SliceLocation", "GantryDetectorTilt", "DataCollectionDiameter", "ReconstructionDiameter"),
        *("DistanceSourceToDataCollectionCenter", "ReconstructionFieldOfView", "ReconstructionPixelSpacing"),
        *("DataCollectionCenterPatient", "ReconstructionTargetCenterPatient", "TableHeight", "TablePosition"),
        *("TableSpeed", "TableFeedPerRotation", "SpiralPitchFactor", "RevolutionTime", "SingleCollimationWidth"),
        *("TotalCollimationWidth", "CTDIvol"),
        # X-Ray Acquisition, Generation, Filtration, Grid (C.8.7.2, C.8.7.8, C.8.7.10, C.8.7.11)
        *("KVP", "XRayTubeCurrent", "XRayTubeCurrentInuA", "XRayTubeCurrentInmA", "ExposureTime", "ExposureTimeInuS"),
        *("ExposureTimeInms", "Exposure", "ExposureInuAs", "ExposureInmAs", "AveragePulseWidth", "FocalSpots"),
        *("ImageAndFluoroscopyAreaDoseProduct", "FilterThicknessMinimum", "FilterThicknessMaximum", "IntensifierSize"),
        *("GridFocalDistance", "GridPitch", "GridThickness", "GridAspectRatio"),
        # XA Positioner, X-Ray Table, Enhanced XA geometry (C.8.7.5, C.8.7.4, C.8.19.5, C.8.19.6)
        *("DistanceSourceToDetector", "DistanceSourceToPatient", "DistanceSourceToIsocenter"),
        *("EstimatedRadiographicMagnificationFactor", "PositionerPrimaryAngle", "PositionerSecondaryAngle"),
        *("PositionerPrimaryAngleIncrement", "PositionerSecondaryAngleIncrement", "DetectorPrimaryAngle"),
        *("DetectorSecondaryAngle", "PositionerIsocenterPrimaryAngle", "PositionerIsocenterSecondaryAngle"),
        *("PositionerIsocenterDetectorRotationAngle", "PositionOfIsocenterProjection", "BeamAngle", "ColumnAngulation"),
        *("TableAngle", "TableVerticalIncrement", "TableLateralIncrement", "TableLongitudinalIncrement"),
        *("TableTopVerticalPosition", "TableTopLongitudinalPosition", "TableTopLateralPosition", "TableTopPitchAngle"),
        *("TableTopRollAngle", "TableHeadTiltAngle", "TableCradleTiltAngle", "TableHorizontalRotationAngle"),
        *("TableXPositionToIsocenter", "TableYPositionToIsocenter", "TableZPositionToIsocenter"),
        # X-Ray Detector, field of view (C.8.7.2, C.8.11.4)
        *("ImagerPixelSpacing", "FieldOfViewDimensions", "FieldOfViewDimensionsInFloat", "FieldOfViewOrigin"),
        *("FieldOfViewRotation", "DetectorElementSpacing", "DetectorElementPhysicalSize", "DetectorActiveDimensions"),
        *("DetectorActiveOrigin", "DetectorBinning"),
        # X-Ray Collimator, Display Shutter (C.8.7.3, C.7.6.11)
        *("CollimatorLeftVerticalEdge", "CollimatorRightVerticalEdge", "CollimatorUpperHorizontalEdge"),
        *("CollimatorLowerHorizontalEdge", "CenterOfCircularCollimator", "RadiusOfCircularCollimator"),
        *("VerticesOfThePolygonalCollimator", "ShutterLeftVerticalEdge", "ShutterRightVerticalEdge"),
        *("ShutterUpperHorizontalEdge", "ShutterLowerHorizontalEdge", "CenterOfCircularShutter"),
        *("RadiusOfCircularShutter", "VerticesOfThePolygonalShutter", "ShutterPresentationValue"),
        # Multi-frame Functional Groups (C.7.6.16)
        *("FrameAcquisitionNumber", "InStackPositionNumber", "DimensionIndexValues", "FrameAcquisitionDuration"),
    )
)

_YES_NO = frozenset(("YES", "NO"))
_SHAPES = frozenset(("RECTANGULAR", "CIRCULAR", "POLYGONAL"))

# Codes, with the terms that are kept; another term is dropped: somebody may have typed it.
CODES: dict[str, frozenset[str]] = {
    "Modality": frozenset(("CT", "XA", "RF", "DX", "CR")),
    "ImageType": frozenset(
        (
            *("ORIGINAL", "DERIVED", "MIXED", "PRIMARY", "SECONDARY", "AXIAL", "LOCALIZER", "VOLUME", "ANGIO", "NONE"),
            *("SINGLE PLANE", "BIPLANE A", "BIPLANE B", "MAX_IP", "MPR", "REFORMATTED", "ADDITION", "SUBTRACTION"),
        )
    ),
    "PresentationIntentType": frozenset(("FOR PROCESSING", "FOR PRESENTATION")),
    "PhotometricInterpretation": frozenset(("MONOCHROME1", "MONOCHROME2")),
    "PresentationLUTShape": frozenset(("IDENTITY", "INVERSE")),
    "PixelIntensityRelationship": frozenset(("LIN", "LOG", "DISP", "OTHER")),
    "LUTFunction": frozenset(("TO_LOG", "TO_LINEAR")),
    "ModalityLUTType": frozenset(("OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT")),
    "RescaleType": frozenset(("OD", "HU", "US")),
    "VOILUTFunction": frozenset(("LINEAR", "LINEAR_EXACT", "SIGMOID")),
    "LossyImageCompression": frozenset(("00", "01")),
    "LossyImageCompressionMethod": frozenset(
        ("ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_13818_2", "ISO_14496_10", "ISO_23008_2")
    ),
    "BodyPartExamined": frozenset(("LSPINE", "TSPINE", "CSPINE", "SSPINE", "SPINE", "ABDOMEN", "PELVIS", "CHEST")),
    "PatientPosition": frozenset(("HFS", "HFP", "HFDL", "HFDR", "FFS", "FFP", "FFDL", "FFDR")),
    "PatientOrientation": frozenset(
        first + second + third for first in "LRAPHF" for second in ("", *"LRAPHF") for third in ("", *"LRAPHF")
    ),
    "RotationDirection": frozenset(("CW", "CC")),
    "AcquisitionType": frozenset(("SEQUENCED", "SPIRAL", "CONSTANT_ANGLE", "STATIONARY", "FREE")),
    "RadiationSetting": frozenset(("SC", "GR")),
    "RadiationMode": frozenset(("CONTINUOUS", "PULSED")),
    "FilterType": frozenset(("STRIP", "WEDGE", "BUTTERFLY", "MULTIPLE", "FLAT", "NONE", "SHAPED")),
    "FilterMaterial": frozenset(
        ("MOLYBDENUM", "ALUMINUM", "COPPER", "RHODIUM", "NIOBIUM", "EUROPIUM", "LEAD", "SILVER", "TIN", "TANTALUM")
    ),
    "AnodeTargetMaterial": frozenset(("TUNGSTEN", "MOLYBDENUM", "RHODIUM")),
    "Grid": frozenset(("FIXED", "FOCUSED", "RECIPROCATING", "PARALLEL", "CROSSED", "HEX", "NONE", "IN")),
    "ExposureControlMode": frozenset(("MANUAL", "AUTOMATIC")),
    "PositionerType": frozenset(("CARM", "COLUMN", "NONE", "MAMMOGRAPHIC", "PANORAMIC", "CEPHALOSTAT", "RIGID")),
    "PositionerMotion": frozenset(("STATIC", "DYNAMIC")),
    "CArmPositionerTabletopRelationship": _YES_NO,
    "TableMotion": frozenset(("STATIC", "DYNAMIC")),
    "TableType": frozenset(("FIXED", "TILTING", "NONE")),
    "DetectorType": frozenset(("DIRECT", "SCINTILLATOR", "STORAGE", "FILM", "CCD", "CMOS")),
    "DetectorConfiguration": frozenset(("AREA", "SLOT")),
    "DetectorActiveShape": frozenset(("RECTANGLE", "ROUND", "HEXAGONAL")),
    "DetectorGeometry": frozenset(("CURVED_DETECTOR", "FLAT_DETECTOR", "CYLINDRICAL_DETECTOR")),
    "XRayReceptorType": frozenset(("IMG_INTENSIFIER", "DIGITAL_DETECTOR")),
    "PixelSpacingCalibrationType": frozenset(("GEOMETRY", "FIDUCIAL")),
    "FieldOfViewShape": frozenset(("RECTANGLE", "ROUND", "HEXAGONAL")),
    "FieldOfViewHorizontalFlip": _YES_NO,
    "CollimatorShape": _SHAPES,
    "ShutterShape": _SHAPES,
    "VolumetricProperties": frozenset(("VOLUME", "SAMPLED", "DISTORTED", "MIXED")),
    "FrameType": frozenset(("ORIGINAL", "DERIVED", "PRIMARY", "AXIAL", "VOLUME", "NONE", "SINGLE PLANE")),
}

# The device. Kept if it is plain text without a word of the patient or the staff.
TEXTS = frozenset(("Manufacturer", "ManufacturerModelName"))

# Sequences that are entered; what is inside goes by the same lists.
SEQUENCES = frozenset(
    (
        *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "ModalityLUTSequence"),
        *("PixelIntensityRelationshipLUTSequence", "FrameContentSequence", "PixelMeasuresSequence"),
        *("PlanePositionSequence", "PlaneOrientationSequence", "PixelValueTransformationSequence"),
        *("FrameVOILUTSequence", "PatientOrientationInFrameSequence", "FramePixelDataPropertiesSequence"),
        *("FrameDetectorParametersSequence", "FrameAcquisitionSequence", "FieldOfViewSequence"),
        *("PositionerPositionSequence", "TablePositionSequence", "CollimatorShapeSequence"),
        *("IsocenterReferenceSystemSequence", "XRayGeometrySequence", "ProjectionPixelCalibrationSequence"),
        *("XRayFilterSequence", "XRayGridSequence", "FrameDisplayShutterSequence", "CTImageFrameTypeSequence"),
        *("XAXRFFrameCharacteristicsSequence", "CTAcquisitionTypeSequence", "CTAcquisitionDetailsSequence"),
        *("CTTableDynamicsSequence", "CTPositionSequence", "CTGeometrySequence", "CTReconstructionSequence"),
        *("CTExposureSequence", "CTXRayDetailsSequence"),
    )
)

# Replaced by others, always the same for the same UID and key (action U of the table).
UIDS = frozenset(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"))

# Moved by the patient's number of days (action C of the option with modified dates). Times of day are dropped.
DATES = frozenset(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"))

# Kept with a check of their own: tables of numbers, and which attribute counts the frames.
LOOKUP_DATA = "LUTData"
FRAME_POINTER = "FrameIncrementPointer"
FRAME_POINTED = ("FrameTime", "FrameTimeVector", "PositionerPrimaryAngleIncrement", "PositionerSecondaryAngleIncrement")

# Empty in every file: the standard asks for their presence (type 2), the profile for no value (action Z).
EMPTIED = ("PatientBirthDate", "PatientSex", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")

KEPT = (
    NUMBERS | CODES.keys() | TEXTS | SEQUENCES | UIDS | DATES | {LOOKUP_DATA, FRAME_POINTER, "SOPClassUID", "PixelData"}
)
