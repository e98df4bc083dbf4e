// Fragments of 8 by 8 for matrix units, each held by a whole subgroup. Sum += Left · Right.
// naga needs the index of a load, and index, fragment and pitch of a store, bound by `let` first.

// Rows and columns of a fragment.
const FRAGMENT: u32 = 8u;
alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sum = coop_mat8x8<f32, C>;
