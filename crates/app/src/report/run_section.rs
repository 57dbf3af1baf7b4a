//! How to repeat the run: settings, program, machine, digests of model and data.

use maud::{Markup, html};
use roentgen_data::ImageSet;

use super::input::ReportInput;
use crate::cpu;
use crate::terminal::screen::counted;

/// The whole section.
pub(super) fn run_section(input: &ReportInput<'_>) -> Markup {
    let threads = counted(input.metrics.threads, "thread");
    html! {
        h2 id="run" { "This run" }
        p { "To repeat the run with bit-identical weights, save these settings as config.toml"
            @if input.config.has_path_pseudonyms() { ", put pseudonyms.csv of this run beside it, which has the paths," }
            " and run "
            code { "roentgen train --config config.toml" }
            @if input.model.card.initial_weights.is_some() { ", with the same images and the same file of initial weights" } "." }
        pre { (input.config.to_toml()) }
        div.scroll { table.pairs { tbody {
            tr { td { "Program" } td { "roentgen " (env!("CARGO_PKG_VERSION")) } }
            tr { td { "Machine" } td { (threads) ", " (cpu::vector_width()) ", " (cpu::name()) } }
            @if let Some(digest) = input.model_digest { tr { td { "Model" } td { "model.safetensors, BLAKE3 " (digest) } } }
            @if let Some(digest) = &input.model.card.initial_weights { tr { td { "Initial weights" } td { "BLAKE3 " (digest) } } }
            @for of in input.data.subsets() { tr { td { "Data: " (of.subset.in_words()) " set" } td { (digest(of.set)) } } }
        } } }
    }
}

fn digest(set: &ImageSet) -> String {
    if set.is_empty() { "none".to_owned() } else { set.digest() }
}
