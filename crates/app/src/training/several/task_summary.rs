//! What a task, or one of several ranks, shows of the trainings that it shares with others.

use serde::Serialize;

use super::share::Share;
use crate::ranks::Ranks;
use crate::run_dir::run_folder::RunFolder;
use crate::terminal::foreign_text::shell_word;
use crate::terminal::screen::{Screen, counted};

/// The output of `--json` for a task.
#[derive(Debug, Serialize)]
struct TaskResult {
    task: String,
    /// The folders of its trainings, in that of the whole.
    trained: Vec<String>,
}

/// Before the first training of ranks that train a share each.
pub(super) fn show_ranks(screen: &Screen, n_trainings: usize, ranks: &Ranks) {
    if ranks.size() > 1 {
        let n = counted(n_trainings, "training");
        screen.field(
            "ranks",
            &format!("{n} on {} ranks; while they run, those of rank 0 are shown", ranks.size()),
        );
        screen.line("");
    }
}

/// When the last training of a task has ended.
pub(super) fn show_task(screen: &Screen, task: Share, trained: Vec<String>, folder: &RunFolder) {
    let names = if trained.is_empty() { "no training is left for it".to_owned() } else { trained.join(", ") };
    screen.field("task", &format!("{task} has ended: {names}"));
    screen.field(
        "next",
        &format!("when all tasks have ended: roentgen collect {}", shell_word(folder.path().display())),
    );
    screen.result(&TaskResult { task: task.to_string(), trained });
}
