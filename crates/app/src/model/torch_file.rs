//! Weights that PyTorch wrote: what of them is read, and how to convert the rest.

use roentgen_layers::CLASSIFIER;
use safetensors::{Dtype, SafeTensors};

/// How a zip archive begins, which `torch.save` writes.
const ZIP: &[u8] = b"PK\x03\x04";
/// How a pickled object begins, which older versions wrote.
const PICKLE: &[u8] = b"\x80\x02";

/// Fails on a file of `torch.save`. To unpickle a file is to run the program in it, so these are not read.
///
/// # Errors
/// What it is, with the lines of Python that convert it.
pub(super) fn reject_pickled(bytes: &[u8]) -> Result<(), String> {
    if !bytes.starts_with(ZIP) && !bytes.starts_with(PICKLE) {
        return Ok(());
    }
    Err("it is a file of torch.save (.pth, .pt), which is pickled and not read; convert it with these two lines of Python:\n  \
         import torch; from safetensors.torch import save_file; weights = torch.load(\"FILE\", map_location=\"cpu\", weights_only=True)\n  \
         save_file({name: tensor.float().contiguous() for name, tensor in weights.items()}, \"FILE.safetensors\")\n\
         where `weights` has to be the state_dict"
        .to_owned())
}

/// Fails on tensors of 16 bits.
///
/// # Errors
/// Which type there is, with the lines of Python that convert it.
pub(super) fn reject_half_precision(tensors: &SafeTensors<'_>) -> Result<(), String> {
    let half = tensors.iter().find(|(_, tensor)| matches!(tensor.dtype(), Dtype::F16 | Dtype::BF16));
    let Some((name, tensor)) = half else { return Ok(()) };
    Err(format!(
        "its tensor {name} is {:?}, expected F32; convert it with these two lines of Python:\n  \
         from safetensors.torch import load_file, save_file\n  \
         save_file({{name: tensor.float() for name, tensor in load_file(\"FILE\").items()}}, \"FILE32.safetensors\")\n",
        tensor.dtype()
    ))
}

/// What comes before all names, such as the `module.` of `DataParallel`; empty if nothing does.
///
/// # Errors
/// If there is no last bias, or several that could be it.
pub(super) fn prefix_of(tensors: &SafeTensors<'_>) -> Result<String, String> {
    let (names, last_bias) = (tensors.names(), format!("{CLASSIFIER}.bias"));
    if names.contains(&&*last_bias) {
        return Ok(String::new());
    }
    let mut prefixes =
        names.iter().filter_map(|name| name.strip_suffix(&*last_bias)).filter(|prefix| prefix.ends_with('.'));
    match (prefixes.next(), prefixes.next()) {
        (Some(prefix), None) => Ok(prefix.to_owned()),
        (Some(first), Some(second)) => {
            Err(format!("it has two models, {first}* and {second}*; save one of them"))
        }
        (None, _) => Err(format!("it has no tensor {last_bias}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::TensorView;

    use super::*;

    fn file(names: &[&str], dtype: Dtype) -> Vec<u8> {
        let zeros = [0; 4];
        let bytes = if dtype == Dtype::F32 { &zeros[..] } else { &zeros[..2] };
        let tensor =
            |name: &&str| ((*name).to_owned(), TensorView::new(dtype, vec![1], bytes).expect("one number"));
        safetensors::serialize(names.iter().map(tensor).collect::<HashMap<_, _>>(), None).expect("a file")
    }

    #[test]
    fn a_common_prefix_is_found() {
        let prefix = |names: &[&str]| {
            let bytes = file(names, Dtype::F32);
            prefix_of(&SafeTensors::deserialize(&bytes).expect("a file"))
        };
        assert_eq!(prefix(&["classifier.bias", "old.classifier.bias"]), Ok(String::new()));
        assert_eq!(prefix(&["module.classifier.bias", "module.x"]), Ok("module.".to_owned()));
        assert!(
            prefix(&["a.classifier.bias", "b.classifier.bias"])
                .is_err_and(|error| error.contains("two models"))
        );
        assert!(prefix(&["fc.bias"]).is_err_and(|error| error.contains("no tensor classifier.bias")));
    }

    #[test]
    fn what_is_not_read_is_named_with_the_lines_that_convert_it() {
        for (dtype, name) in [(Dtype::F16, "F16"), (Dtype::BF16, "BF16")] {
            let bytes = file(&["classifier.bias"], dtype);
            let error = reject_half_precision(&SafeTensors::deserialize(&bytes).expect("a file"));
            let error = error.expect_err("16 bits");
            assert!(
                error.contains(&format!("is {name}, expected F32")) && error.contains("save_file("),
                "{error}"
            );
        }
        for start in [ZIP, PICKLE] {
            let error = reject_pickled(start).expect_err("pickled");
            assert!(error.contains("torch.load(") && error.contains("weights_only=True"), "{error}");
        }
        assert!(reject_pickled(&file(&["a"], Dtype::F32)).is_ok());
    }
}
