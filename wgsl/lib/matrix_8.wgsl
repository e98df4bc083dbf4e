// What matrix units multiply: squares of 8 by 8, each held by a whole subgroup. Sum += Left · Right.
// naga needs the index of a load, and index, square and pitch of a store, bound by `let` first.

const EDGE: u32 = 8u;
alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sum = coop_mat8x8<f32, C>;
