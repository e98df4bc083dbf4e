//! GGUF files of other producers: their spellings, and their keys about text.

use bimetal::{
    Checkpoint,
    low_level::{
        engine::sampler::Sampling,
        generate::{Advice, TextAssets},
        model::{
            checkpoint::Skipped,
            config::{LayerKind, ValueOrder},
        },
        text::chat_template::Options,
    },
};
use serde_json::Value;

use super::{edited, keys_of_text::speaking, whole};
use crate::container::{self, Gguf, U32, list, number, text, value};

/// What other producers write for the same model.
#[test]
fn other_spellings() {
    let plain = Checkpoint::embedded_gguf(whole().bytes()).unwrap();
    let opened = |edit: &dyn Fn(&mut Gguf)| {
        let mut file = whole();
        edit(&mut file);
        let checkpoint = Checkpoint::embedded_gguf(file.bytes()).unwrap();
        checkpoint.check().unwrap();
        checkpoint
    };
    let layers = plain.config().layers.clone();
    let heads = plain.config().kv_heads;
    let counts: Vec<_> =
        layers.iter().map(|kind| if *kind == LayerKind::Full { heads } else { 0 }.to_le_bytes().to_vec()).collect();
    let found = opened(&|file| file.key("qwen35.attention.head_count_kv", list(U32, &counts)));
    assert_eq!(found.config(), plain.config());
    let found = opened(&|file| file.tensor("blk.0.ssm_dt.bias").0 = "blk.0.ssm_dt".into());
    let name = "layers.0.linear_attn.dt_bias";
    assert_eq!(found.tensor(name).unwrap().data, plain.tensor(name).unwrap().data);
    let found = opened(&|file| file.key("qwen35.ssm.v_head_reordered", value(7, &[0])));
    assert_eq!(found.config().value_order, ValueOrder::Grouped);
    let found = opened(&|file| {
        for name in ["v.blk.0.attn_q.weight", "mm.0.weight", "mtp.fc.weight"] {
            let mut tensor = file.tensor("blk.0.ssm_dt.bias").clone();
            tensor.0 = name.into();
            file.tensors.push(tensor);
        }
    });
    let skipped: Vec<_> = found.summary().skipped.into_iter().map(|(part, (tensors, _))| (part, tensors)).collect();
    assert_eq!(skipped, [(Skipped::Vision, 2), (Skipped::Mtp, 1)]);
    let found = opened(&|file| {
        file.key("tokenizer.ggml.eos_token_ids", list(U32, &[vec![7, 0, 0, 0], vec![9, 0, 0, 0]]));
        file.key("tokenizer.ggml.eom_token_id", number(8));
    });
    assert!([7, 8, 9].iter().all(|id| found.config().eos.contains(id)), "{:?}", found.config().eos);
}

#[test]
fn other_spellings_that_do_not_agree() {
    let counts = [1_u32, 2].map(|count| count.to_le_bytes().to_vec());
    assert_eq!(
        edited(|file| file.key("qwen35.attention.head_count_kv", list(U32, &counts))),
        "key qwen35.attention.head_count_kv: expected one number for all layers, or 0, found a list of 2 values ([1, 2])"
    );
    let twice = edited(|file| {
        let mut tensor = file.tensor("blk.0.ssm_dt.bias").clone();
        tensor.0 = "blk.0.ssm_dt".into();
        file.tensors.push(tensor);
    });
    assert_eq!(twice, "tensor blk.0.ssm_dt.bias is there twice: another spelling of it is blk.0.ssm_dt.bias");
    assert_eq!(
        edited(|file| file.key("qwen35.ssm.v_head_reordered", number(1))),
        "key qwen35.ssm.v_head_reordered: expected true or false, found 1"
    );
}

#[test]
fn alignments_of_other_types() {
    const I32: u32 = 5;
    const F64: u32 = 12;
    let mut file = whole();
    file.key("general.alignment", value(I32, &32_i32.to_le_bytes()));
    Checkpoint::embedded_gguf(file.bytes()).unwrap().check().unwrap();
    let found = |contents: Vec<u8>| edited(|file| file.key("general.alignment", contents.clone()));
    let wanted = "key general.alignment: expected a power of two from 8 to 65536, found";
    assert_eq!(found(value(I32, &(-32_i32).to_le_bytes())), format!("{wanted} -32"));
    assert_eq!(found(value(I32, &33_i32.to_le_bytes())), format!("{wanted} 33"));
    assert_eq!(found(text("32")), "key general.alignment: expected an integer, found the string \"32\"");
    assert_eq!(
        found(value(F64, &32_f64.to_le_bytes())),
        "key general.alignment: expected an integer, found the float 32"
    );
}

#[test]
fn sampling_from_keys() {
    const F32_KIND: u32 = 6;
    let with = |keys: &[(&str, Vec<u8>)]| {
        let (mut file, _) = speaking();
        keys.iter().for_each(|(key, contents)| file.key(key, contents.clone()));
        TextAssets::of(&Checkpoint::embedded_gguf(file.bytes()).unwrap())
    };
    assert_eq!(with(&[]).unwrap().advice, Advice::ModelCard);
    let float = |number: f32| value(F32_KIND, &number.to_le_bytes());
    let text = with(&[
        ("general.sampling.temp", float(0.5)),
        ("general.sampling.top_k", number(7)),
        ("general.sampling.top_p", float(0.75)),
        ("general.sampling.penalty_repeat", float(1.5)),
    ]);
    let text = text.unwrap();
    let own = Sampling { temperature: 0.5, top_k: 7, top_p: 0.75, repetition_penalty: 1.5, ..Sampling::plain() };
    assert_eq!((text.sampling, text.advice), (own, Advice::Checkpoint));
    let refused = |key: &str, contents: Vec<u8>| with(&[(key, contents)]).err().unwrap().to_string();
    assert_eq!(
        refused("general.sampling.temp", container::text("hot")),
        "embedded.gguf: key general.sampling.temp: expected a number, found \"hot\""
    );
    let range = refused("general.sampling.top_p", float(2.0));
    assert!(range.starts_with("embedded.gguf: ") && range.contains("top_p is 2"), "{range}");
}

#[test]
fn named_templates_and_tokens_from_keys() {
    let (mut file, _) = speaking();
    file.key("tokenizer.chat_template", text("plain{{ eos_token }}{{ bos_token }}"));
    file.key("tokenizer.chat_template.tool_use", text("tools{{ eos_token }}"));
    file.key("tokenizer.ggml.bos_token_id", number(4094));
    let read = TextAssets::of(&Checkpoint::embedded_gguf(file.bytes()).unwrap()).unwrap();
    let render = |tools: Vec<Value>| {
        read.template.as_ref().unwrap().render(&[], &Options { tools, ..Options::default() }).unwrap()
    };
    assert_eq!(render(vec![]), "plain<|im_end|><|im_start|>");
    assert_eq!(render(vec![Value::Null]), "tools<|im_end|>");
}
