//! What this program is, for ranks that must all run the same.

use roentgen_data::read_file;
use roentgen_tensor::lanes::INSTRUCTION_SET;

use crate::cpu;
use crate::ranks::SharedFact;

/// Largest program that is read: one with all that helps a debugger has a quarter of this.
const MAX_BYTES: u64 = 1 << 30;
/// Digits of a digest that an error shows.
const DIGITS: usize = 12;

/// The facts that ranks must agree on before they train together.
pub(super) fn shared_facts() -> [SharedFact; 3] {
    let same_file = "start the same file on every host";
    let fact = |name, value: String, remedy| SharedFact { name, value, remedy };
    [
        fact("the version of the program", env!("CARGO_PKG_VERSION").to_owned(), same_file),
        fact(
            "the arithmetic",
            format!("{INSTRUCTION_SET}, {}", cpu::vector_width()),
            "build for the CPU that all hosts have",
        ),
        fact("the digest of the program", own_digest(), same_file),
    ]
}

/// Of the file that this process runs; empty where the system does not show it.
fn own_digest() -> String {
    let bytes = std::env::current_exe().ok().and_then(|path| read_file(&path, MAX_BYTES).ok());
    bytes.map_or_else(String::new, |bytes| blake3::hash(&bytes).to_hex()[..DIGITS].to_owned())
}
