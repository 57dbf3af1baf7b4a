//! The sizes of the data caches, as Linux lists them; elsewhere, and where a virtual machine hides them, those of a common
//! processor.
//!
//! The convolutions choose the sizes of their blocks by them, and in which order they compute them. No sum depends on it, so the
//! bits are the same with any caches.

use std::fs;
use std::sync::OnceLock;

/// Caches that are not described: sizes that recent x86 processors have at least, so that what is made to fit fits.
const FALLBACK: [Cache; 3] = [
    Cache { level: 1, bytes: 32 << 10 },
    Cache { level: 2, bytes: 512 << 10 },
    Cache { level: 3, bytes: 8 << 20 },
];

/// A cache that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// 1 for the cache that is nearest to the core.
    pub level: u8,
    /// Its size.
    pub bytes: usize,
}

/// The data caches of this machine, nearest first, without gaps. They are read once.
pub fn data_caches() -> &'static [Cache] {
    static CACHES: OnceLock<Vec<Cache>> = OnceLock::new();
    CACHES.get_or_init(|| {
        caches_of(|index, key| {
            // One folder for each cache of the first processor.
            fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{key}")).ok()
        })
    })
}

/// Bytes of the cache of this level; 0 for a level that the processor lacks.
pub(crate) fn cache_bytes(level: u8) -> usize {
    data_caches().iter().find(|cache| cache.level == level).map_or(0, |cache| cache.bytes)
}

/// The caches that `read` describes: the text of a key in the folder of a number.
fn caches_of(read: impl Fn(usize, &str) -> Option<String>) -> Vec<Cache> {
    let cache = |index| {
        let text = |key| read(index, key).map(|text| text.trim().to_owned());
        let is_data = text("type")? != "Instruction";
        let cache = Cache { level: text("level")?.parse().ok()?, bytes: bytes_of(&text("size")?)? };
        is_data.then_some(cache)
    };
    let mut found: Vec<Cache> = (0..16).filter_map(cache).collect();
    found.sort_by_key(|cache| cache.level);
    // With a level left out or twice, the description is not what it seems.
    let is_plausible = !found.is_empty()
        && found.iter().zip(1..).all(|(cache, level)| cache.level == level && cache.bytes > 0)
        && found.is_sorted_by_key(|cache| cache.bytes);
    if is_plausible { found } else { FALLBACK.to_vec() }
}

/// A size such as `1024K`.
fn bytes_of(text: &str) -> Option<usize> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(described: &[[&str; 3]]) -> Vec<Cache> {
        caches_of(|index, key| {
            let column = ["level", "type", "size"].iter().position(|name| *name == key)?;
            Some(format!("{}\n", described.get(index)?[column]))
        })
    }

    #[test]
    fn data_caches_are_read_from_the_nearest_on() {
        let [first, instructions] = [["1", "Data", "48K"], ["1", "Instruction", "32K"]];
        let [second, third] = [["2", "Unified", "2048K"], ["3", "Unified", "105M"]];
        let caches = found(&[third, first, instructions, second]);
        assert_eq!(
            caches,
            [
                Cache { level: 1, bytes: 48 << 10 },
                Cache { level: 2, bytes: 2 << 20 },
                Cache { level: 3, bytes: 105 << 20 },
            ]
        );
        assert_eq!(found(&[first, second]).len(), 2, "a processor without a third level");
    }

    #[test]
    fn an_unusable_description_gives_the_sizes_of_a_common_processor() {
        let first = ["1", "Data", "32K"];
        for described in [
            vec![],
            vec![["1", "Data", "large"]],
            vec![["1", "Data", "0K"]],
            vec![["1", "Instruction", "32K"]],
            vec![first, ["3", "Unified", "8M"]],
            vec![first, ["2", "Unified", "16K"]],
        ] {
            assert_eq!(found(&described), FALLBACK, "{described:?}");
        }
        assert_eq!(bytes_of("99999999999999M"), None);
    }

    #[test]
    fn this_machine_has_caches() {
        let caches = data_caches();
        assert!(caches[0].bytes >= 8 << 10, "{caches:?}");
        assert_eq!((cache_bytes(1), cache_bytes(9)), (caches[0].bytes, 0));
    }
}
