//! `report.html` of a run: one file that opens offline, without a script and without a request to anywhere.
//!
//! [`mod@page`] puts the sections together, each of which is a module of its own. The verdict comes first, then the data,
//! the training, the test results and the images to look at; the model card and how to repeat the run come last.
//! [`mod@sweep_page`] is `sweep.html`, the page of a sweep.

mod data_section;
mod image_figures;
mod image_section;
mod input;
mod metric_tables;
mod model_card_section;
pub(crate) mod overlay;
mod page;
mod parallel_coordinates;
pub(crate) mod picture;
pub(crate) mod plot;
mod run_section;
mod sheet_text;
mod sweep_page;
mod test_section;
mod training_section;
mod verdict;

#[cfg(feature = "serve")]
pub(crate) use image_figures::{full_image, samples, thumbnail};
pub(crate) use input::ReportInput;
#[cfg(feature = "serve")]
pub(crate) use input::sentence;
pub(crate) use page::page;
#[cfg(feature = "serve")]
pub(crate) use page::{PLOT_STYLE, STYLE};
pub(crate) use sweep_page::sweep_page;
#[cfg(feature = "serve")]
pub(crate) use training_section::{accuracy_plot, loss_plot};
pub(crate) use verdict::{
    SAME_SPLIT, UNKNOWN_TRAINING_IMAGES, Verdict, has_data_of_initial_model, leaky_val_in_words,
    not_exceeded_in_words, verdict,
};
