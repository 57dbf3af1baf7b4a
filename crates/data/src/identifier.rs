//! What the header of a DICOM file has to identify an image, a study or a patient by.

/// An element by which a table may name images. Its values are compared, and never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identifier {
    SopInstanceUid,
    StudyInstanceUid,
    AccessionNumber,
    PatientId,
}

impl Identifier {
    /// From the most specific one on.
    pub(crate) const ALL: [Self; 4] =
        [Self::SopInstanceUid, Self::StudyInstanceUid, Self::AccessionNumber, Self::PatientId];

    /// The usual name of the column of a table.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::SopInstanceUid => "sop_instance_uid",
            Self::StudyInstanceUid => "study_instance_uid",
            Self::AccessionNumber => "accession_number",
            Self::PatientId => "patient_id",
        }
    }
}
