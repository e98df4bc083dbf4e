use bimetal::low_level::{
    compute::{dtype::DType, pass::Pass},
    kernels::{argmax::NONE, argmax_merge::KERNEL},
};

use crate::{
    harness::{Case, Output, Random, check_by, compare},
    step_cases::*,
};

/// Key and id of the best logit of each part of a row.
type Leaders = Vec<[u32; 2]>;

/// The id of the largest key, the lowest among equal keys. `NONE` if the largest key means NaN or no logit.
fn chosen(leaders: &Leaders) -> u32 {
    let largest = leaders.iter().map(|[key, _]| *key).max().unwrap();
    let ids = leaders.iter().filter(|[key, _]| *key == largest).map(|[_, id]| *id);
    if largest == NONE || largest == 0 { NONE } else { ids.min().unwrap() }
}

/// Merges these leaders, and compares the tokens with the plain loops and with the definition.
fn merge(label: &str, step_case: StepCase, rows: &[Leaders]) {
    let op = |case: &Case, p: &Pass| {
        let [count, parts] = [rows.len() as u32, rows[0].len() as u32];
        let words = rows.concat().concat();
        let leaders = case.words([count, 2 * parts], &words);
        let mut tokens = case.poisoned([count, 1], DType::U32);
        let step = step_case.step(case, 10);
        let dispatch = p.dispatch(&KERNEL).define("PARTS", parts).step(&step);
        dispatch.read(&leaders).write(&mut tokens).grid([count, 1, 1]);
        p.mark("tokens", &tokens);
    };
    check_by(label, op, |label, wanted: &Output, got: &Output| {
        for (row, leaders) in rows.iter().enumerate().take(step_case.active_rows() as usize) {
            assert_eq!(got.row(row as u32), [chosen(leaders)], "{label}: row {row}");
        }
        compare(label, wanted, got)
    });
}

/// Numbers of parts around the lanes of a subgroup and of a workgroup; few keys, so that many are equal.
#[test]
pub fn cases() {
    for (step_case, parts) in [
        (DECODES[0], 1),
        (DECODES[1], 2),
        (DECODES[2], 31),
        (DECODES[1], 33),
        (DECODES[2], 63),
        (DECODES[2], 65),
        (DECODES[1], 130),
        (DECODES[0], 1000),
    ] {
        let mut random = Random::new(&format!("{parts} parts"));
        let mut leader = |part: u32| [1 + random.below(3), 4096 * part + random.below(4096)];
        let rows: Vec<_> = (0..step_case.capacity()).map(|_| (0..parts).map(&mut leader).collect()).collect();
        merge(&format!("argmax_merge of {parts} parts"), step_case, &rows);
    }
}

/// Parts that hold NaN, nothing above −∞, or nothing; and the last of many parts.
#[test]
pub fn odd_leaders() {
    const PARTS: u32 = 71;
    let plain = |key: u32| -> Leaders { (0..PARTS).map(|part| [key, 4096 * part]).collect() };
    let with = |key: u32, at: usize, other: u32| {
        let mut leaders = plain(key);
        leaders[at][0] = other;
        leaders
    };
    let nothing = vec![[0, NONE]; PARTS as usize];
    let step_case =
        StepCase { spans: &[(1, 0, 0), (1, 0, 1), (1, 0, 2), (1, 0, 3), (1, 0, 4), (1, 0, 5)], ..DECODES[1] };
    let rows = [
        plain(7),
        with(7, 70, 8),
        with(7, 64, NONE),
        nothing.clone(),
        plain(0),
        with(0, 69, NONE - 1),
        // An inactive row.
        plain(9),
    ];
    assert_eq!(rows.each_ref().map(chosen)[..6], [0, 70 * 4096, NONE, NONE, NONE, 69 * 4096]);
    merge("argmax_merge of odd leaders", step_case, &rows);
}
