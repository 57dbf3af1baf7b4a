//! The command line that trains with given settings.

use super::setting::Setting;
use super::settings::{self, TrainConfig};
use crate::terminal::foreign_text::shell_word;

impl TrainConfig {
    /// `roentgen train` with a flag for each setting that is not the default.
    #[must_use]
    pub(crate) fn command_line(&self) -> String {
        let words = settings::all().filter_map(|setting| self.flag_of(setting));
        std::iter::once("roentgen train".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
    }

    /// The words that give a setting; `None` where it is left to the default, or to the program.
    fn flag_of(&self, setting: &'static dyn Setting) -> Option<String> {
        let value = setting.text(self)?;
        if setting.text(&Self::default()).as_ref() == Some(&value) || self.derived.contains(&setting.name()) {
            return None;
        }
        Some(match (setting.name(), setting.is_switch(), value.as_str()) {
            ("data", ..) => shell_word(&value),
            (name, true, "false") => format!("--no-{name}"),
            (name, true, _) => format!("--{name}"),
            (name, ..) => format!("--{name} {}", shell_word(&value)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_the_default_is_given() {
        assert_eq!(TrainConfig::default().command_line(), "roentgen train");
        let config = TrainConfig {
            data: "my films".into(),
            flip: false,
            tta: true,
            max_lr: 0.005,
            medical: Some(false),
            epochs: Some(3),
            ..TrainConfig::default()
        };
        let words = "roentgen train 'my films' --no-medical --no-flip --tta --epochs 3 --max-lr 0.005";
        assert_eq!(config.command_line(), words);
        // What the program chose for some data it chooses again.
        assert_eq!(config.resolved(226, 0.1).command_line(), words);
    }
}
