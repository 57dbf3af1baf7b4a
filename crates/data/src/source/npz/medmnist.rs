//! Class names of the sets of MedMNIST v2 (Yang et al. 2023, Scientific Data 10:41), which their files do not contain.

use std::path::Path;

const ORGANS: &[&str] = &[
    "bladder",
    "femur-left",
    "femur-right",
    "heart",
    "kidney-left",
    "kidney-right",
    "liver",
    "lung-left",
    "lung-right",
    "pancreas",
    "spleen",
];

/// The start of the file name, and the classes by number.
const SETS: [(&str, &[&str]); 10] = [
    ("pneumoniamnist", &["normal", "pneumonia"]),
    ("breastmnist", &["malignant", "benign or normal"]),
    ("octmnist", &["choroidal neovascularization", "diabetic macular edema", "drusen", "normal"]),
    (
        "bloodmnist",
        &[
            "basophil",
            "eosinophil",
            "erythroblast",
            "immature granulocyte",
            "lymphocyte",
            "monocyte",
            "neutrophil",
            "platelet",
        ],
    ),
    (
        "dermamnist",
        &[
            "actinic keratosis",
            "basal cell carcinoma",
            "benign keratosis",
            "dermatofibroma",
            "melanoma",
            "melanocytic nevus",
            "vascular lesion",
        ],
    ),
    (
        "pathmnist",
        &[
            "adipose",
            "background",
            "debris",
            "lymphocytes",
            "mucus",
            "smooth muscle",
            "normal colon mucosa",
            "cancer-associated stroma",
            "colorectal adenocarcinoma epithelium",
        ],
    ),
    (
        "tissuemnist",
        &[
            "collecting duct, connecting tubule",
            "distal convoluted tubule",
            "glomerular endothelial cells",
            "interstitial endothelial cells",
            "leukocytes",
            "podocytes",
            "proximal tubule segments",
            "thick ascending limb",
        ],
    ),
    ("organamnist", ORGANS),
    ("organcmnist", ORGANS),
    ("organsmnist", ORGANS),
];

/// The set that the name of a file starts with, such as `pneumoniamnist_64.npz`, and its classes.
pub(super) fn set_of(path: &Path) -> Option<(&'static str, &'static [&'static str])> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    SETS.iter().find(|(set, _)| name.starts_with(set)).copied()
}
