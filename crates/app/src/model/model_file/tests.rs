//! A model is read back as it was written, and invalid files are rejected.

use roentgen_data::{
    LoadOptions, Normalization, PhantomOptions, TtaConfig, ViewPosition, phantom_dataset, silent,
};

use super::super::assumed_prior::AssumedPrior;
use super::super::instruction_sets::InstructionSets;
use super::super::model_card::{FORMAT, TrainedOn};
use super::super::observation::observe;
use super::super::ood::OodDetector;
use super::super::training_digests::TrainingDigests;
use super::*;
use crate::config::{FitChoice, InvertChoice, ViewList};
use roentgen_tensor::parameter::ParameterKind;

pub(crate) fn card() -> ModelCard {
    ModelCard {
        format: FORMAT,
        digest: NO_DIGEST.to_owned(),
        class_names: vec!["a".into(), "b".into(), "c".into()],
        channels: 1,
        resize: 28,
        size: 24,
        fit: FitChoice::Pad,
        sample_bits: Some(12),
        invert: InvertChoice::Auto,
        view: Some(ViewList(vec![ViewPosition::Pa, ViewPosition::Ap])),
        brightness_pattern: Some(vec![-3; 144].try_into().expect("a pattern")),
        normalization: Normalization { mean: vec![0.512_345_6], std: vec![0.1], per_image: false },
        tta: TtaConfig { mirror: true, zoom: 0.3, aspect: 0.25 },
        temperature: 1.25,
        prior: AssumedPrior::Balanced,
        width: 8,
        initial_weights: Some("1f".into()),
        seed: 7,
        val_fraction: 0.1,
        test_fraction: 0.1,
        patient_pattern: None,
        class_mapping: None,
        fold: Some([2, 5]),
        fingerprint: Some("abc".into()),
        films: None,
        ood_detector: None,
        validation: None,
        trained_on: None,
        medical: true,
        epoch: 3,
        instruction_sets: InstructionSets::of_this_build(),
        training_digests: digests("000000000000002a000000000000002b"),
        held_out: digests("000000000000002b"),
        has_unknown_training_images: true,
    }
}

fn digests(text: &str) -> TrainingDigests {
    TrainingDigests::try_from(text.to_owned()).expect("digests")
}

fn values(model: &ResNet) -> Vec<Vec<f32>> {
    let mut values = Vec::new();
    model.for_each_parameter(&mut |parameter| values.push(parameter.value.clone()));
    model.for_each_buffer(&mut |buffer| values.push(buffer.value.clone()));
    values
}

/// A model with its own number at every place.
fn numbered() -> ResNet {
    let mut model = card().config().build(1);
    let mut next = 0.0;
    model.for_each_parameter_mut(&mut |parameter| {
        parameter.value.fill_with(|| {
            next += 1.0;
            next
        });
    });
    model.for_each_buffer_mut(&mut |buffer| buffer.value.fill(0.5));
    model
}

/// The file of [`numbered`] with another card.
fn with_card(change: impl FnOnce(&mut ModelCard)) -> Vec<u8> {
    let mut card = card();
    change(&mut card);
    to_bytes(&numbered(), &card, 9)
}

fn rejection(bytes: &[u8]) -> String {
    from_bytes(bytes).expect_err("invalid bytes")
}

#[test]
fn a_model_is_read_back_as_it_was_written() {
    let model = numbered();
    let bytes = to_bytes(&model, &card(), 9);
    let back = from_bytes(&bytes).expect("our own file");
    assert_eq!(back.card, card());
    assert_eq!(values(&model), values(&back.network));
    assert_eq!(bytes, to_bytes(&back.network, &card(), 9), "the same model gives the same bytes");
}

#[test]
#[should_panic(expected = "a model file contains a ResNet9")]
fn a_network_of_another_table_is_not_written() {
    let blocks = &RESNET9[..5];
    let network = ResNet::zeros(Architecture { blocks, ..card().config().architecture() });
    let _ = to_bytes(&network, &card(), 9);
}

#[test]
fn a_card_without_its_digests_or_its_arithmetic_is_rejected() {
    for key in ["seen", "held_out", "instruction_sets", "medical"] {
        let mut json = serde_json::to_value(card()).expect("a card");
        json.as_object_mut().expect("an object").remove(key).expect("a value");
        let error = serde_json::from_value::<ModelCard>(json).expect_err(key).to_string();
        assert!(error.contains(&format!("missing field `{key}`")), "{error}");
    }
    let error = serde_json::from_str::<InstructionSets>("[]").expect_err("without a name").to_string();
    assert!(error.contains("instruction sets"), "{error}");
}

#[test]
fn the_weights_were_computed_from_all_images_but_those_held_out() {
    assert_eq!(card().fitted_digests(), digests("000000000000002a"));
}

#[test]
fn tensors_have_the_names_and_order_of_pytorch() {
    let model = numbered();
    let bytes = to_bytes(&model, &card(), 9);
    let tensors = SafeTensors::deserialize(&bytes).expect("our own file");
    let mut n_checked = 0;
    model.for_each_parameter(&mut |parameter| {
        let tensor = tensors.tensor(&parameter.name).expect("a tensor of that name");
        let at = |index: usize| f32::from_le_bytes(tensor.data().as_chunks::<4>().0[index]);
        if parameter.kind == ParameterKind::ConvWeight {
            let [c_in, k_h, k_w, c_out] = parameter.shape[..] else { panic!("a filter has four axes") };
            assert_eq!(tensor.shape(), [c_out, c_in, k_h, k_w]);
            let (y, x, i, o) = (2, 1, c_in - 1, c_out - 2);
            let ours = parameter.value[((i * k_h + y) * k_w + x) * c_out + o];
            assert_eq!(at(((o * c_in + i) * k_h + y) * k_w + x), ours, "{}", parameter.name);
            n_checked += 1;
        } else if parameter.kind == ParameterKind::LinearWeight {
            let [c_in, c_out] = parameter.shape[..] else { panic!("a matrix has two axes") };
            assert_eq!(tensor.shape(), [c_out, c_in]);
            assert_eq!(at(c_in + 5), parameter.value[5 * c_out + 1]);
            n_checked += 1;
        }
    });
    assert_eq!(n_checked, 9);
    let tracked = tensors.tensor("conv1.1.num_batches_tracked").expect("a tensor of that name");
    assert_eq!((tracked.dtype(), tracked.data()), (Dtype::I64, &9u64.to_le_bytes()[..]));
}

#[test]
fn a_truncated_file_is_rejected() {
    let bytes = with_card(|_| {});
    for len in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(rejection(&bytes[..len]).contains("not a whole safetensors file"), "{len} bytes");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let bytes = with_card(|_| {});
    let content = bytes.len() - 8 * 1024;
    // All of the header, and places all over the weights.
    for at in (0..4096).chain((4096..content).step_by(997)).chain(content..bytes.len()) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(from_bytes(&flipped).is_err(), "byte {at}");
    }
}

#[test]
fn the_training_digest_covers_tensors_and_card_but_no_ood_data() {
    let model = card().config().build(1);
    let bytes = to_bytes(&model, &card(), 9);
    let digest = weights_digest(&bytes, &card());
    let Model { network: mut back, card: back_card } = from_bytes(&bytes).expect("our own file");
    assert_eq!(weights_digest(&bytes, &back_card), digest);

    let phantom = PhantomOptions { train: 6, val: 4, test: 0, ..PhantomOptions::default() };
    let data = phantom_dataset(&phantom, &LoadOptions::default(), &silent).expect("films");
    let observed = |set| observe(&back, set, back_card.preprocessing()).collect::<Vec<_>>();
    let ood_detector = OodDetector::fit(&observed(&data.train), &data.train.groups(), &observed(&data.val));
    assert!(ood_detector.is_some());
    let with_detector = ModelCard { ood_detector, ..back_card.clone() };
    let with_detector_bytes = to_bytes(&back, &with_detector, 9);
    assert_ne!(with_detector_bytes, bytes);
    let Model { card: with_detector, .. } = from_bytes(&with_detector_bytes).expect("our own file");
    assert_eq!(weights_digest(&with_detector_bytes, &with_detector), digest);

    let other_epoch = ModelCard { epoch: 4, ..back_card.clone() };
    assert_ne!(weights_digest(&bytes, &other_epoch), digest);
    back.for_each_parameter_mut(&mut |parameter| parameter.value[0] += 1.0);
    assert_ne!(weights_digest(&to_bytes(&back, &back_card, 9), &back_card), digest);
}

#[test]
fn a_negative_variance_is_rejected() {
    let mut model = numbered();
    model.for_each_buffer_mut(&mut |buffer| {
        if buffer.name == "conv3.1.running_var" {
            buffer.value[2] = -0.5;
        }
    });
    let text = rejection(&to_bytes(&model, &card(), 9));
    assert!(text.contains("conv3.1.running_var") && text.contains("-0.5"), "{text}");
}

#[test]
fn a_card_that_does_not_fit_is_rejected() {
    assert!(rejection(&with_card(|card| card.format = 1)).contains("format is 1"));
    assert!(rejection(&with_card(|card| card.channels = 2)).contains("channels is 2"));
    assert!(rejection(&with_card(|card| card.width = 1 << 40)).contains("width"));
    assert!(rejection(&with_card(|card| card.width = 16)).contains("conv1.0.weight"));
    assert!(rejection(&with_card(|card| card.class_names.push("d".into()))).contains("classifier.weight"));
    assert!(rejection(&with_card(|card| card.normalization.std[0] = 0.0)).contains("std"));
    assert!(rejection(&with_card(|card| card.resize = 4)).contains("resize is 4"));
    for (class, name) in [(1, "a"), (1, " a"), (2, ""), (0, " ")] {
        let text = rejection(&with_card(|card| card.class_names[class] = name.into()));
        assert!(text.contains("the same name, or one has none"), "{class} {name:?}: {text}");
    }
}

#[test]
fn probabilities_are_not_called_calibrated_where_no_temperature_was_found() {
    let trained_on = TrainedOn { data: "films".into(), n_train: 90, n_val: 10 };
    let meaning = |temperature: f64| {
        ModelCard { temperature, trained_on: Some(trained_on.clone()), ..card() }.meaning_of_probability()
    };
    assert!(meaning(1.25).starts_with("The probabilities are calibrated"), "{}", meaning(1.25));
    assert!(meaning(20.0).starts_with("The probabilities are not calibrated"), "{}", meaning(20.0));
}

#[test]
fn weights_that_are_not_finite_are_rejected() {
    let mut model = numbered();
    model.for_each_parameter_mut(&mut |parameter| {
        if parameter.name == "conv2.0.bias" {
            parameter.value[3] = f32::NAN;
        }
    });
    let text = rejection(&to_bytes(&model, &card(), 9));
    assert!(text.contains("conv2.0.bias") && text.contains("NaN at 3"), "{text}");
}

#[test]
fn other_channels_than_those_of_the_initial_model_are_named_with_their_flag() {
    let colour_card = ModelCard { channels: 3, ..card() };
    let bytes = to_bytes(&colour_card.config().build(1), &colour_card, 9);
    let file = SafeTensors::deserialize(&bytes).expect("a file");
    let reason = check_sizes(&numbered(), &file, "").expect_err("other channels");
    assert_eq!(reason, "its model sees colour images and not grey ones; add --channels rgb");
}

#[test]
fn a_foreign_safetensors_file_is_rejected() {
    let foreign = safetensors::serialize(Vec::<(&str, TensorView<'_>)>::new(), None).expect("an empty file");
    assert!(rejection(&foreign).contains("no key `roentgen`"));
}
