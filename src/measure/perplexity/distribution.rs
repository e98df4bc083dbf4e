//! The next-id distribution of one row of logits. Sums use f64.

/// The softmax distribution of a row of logits.
pub struct Distribution<'a> {
    logits: &'a [f32],
    /// Logarithm of the sum of exponentials.
    whole: f64,
    /// The most likely id; on a tie the lowest, as in a greedy choice.
    pub likeliest: u32,
}

impl<'a> Distribution<'a> {
    /// The distribution of a row; `None` if a logit is NaN, or no logit is finite.
    pub fn of(logits: &'a [f32]) -> Option<Self> {
        let (mut likeliest, mut largest) = (0, f32::NEG_INFINITY);
        for (id, &logit) in (0..).zip(logits) {
            if logit > largest {
                (likeliest, largest) = (id, logit);
            }
        }
        let largest = f64::from(largest);
        let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - largest).exp()).sum();
        let whole = largest + sum.ln();
        whole.is_finite().then_some(Self { logits, whole, likeliest })
    }

    /// Log-probability of an id.
    ///
    /// # Panics
    /// If the id is outside the vocabulary.
    pub fn log(&self, id: u32) -> f64 {
        f64::from(self.logits[id as usize]) - self.whole
    }

    /// Kullback–Leibler divergence of `other` from this one: Σ p · (log p − log q), in nats.
    pub fn divergence(&self, other: &Self) -> f64 {
        let terms = self.logits.iter().zip(other.logits).map(|(p, q)| {
            let (p, q) = (f64::from(*p) - self.whole, f64::from(*q) - other.whole);
            let share = p.exp();
            if share > 0.0 { share * (p - q) } else { 0.0 }
        });
        // Rounding can make a zero divergence negative.
        terms.sum::<f64>().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn logits(shares: &[f64], shift: f64) -> Vec<f32> {
        shares.iter().map(|share| (share.ln() + shift) as f32).collect()
    }

    #[test]
    fn shares_whose_logarithms_are_known() {
        // p = ½, ¼, ¼; q = ¼, ½, ¼: Σ p·(log p − log q) = ½·log 2 − ¼·log 2.
        let (p, q) = (logits(&[0.5, 0.25, 0.25], 90.0), logits(&[0.25, 0.5, 0.25], -7.0));
        let (p, q) = (Distribution::of(&p).unwrap(), Distribution::of(&q).unwrap());
        assert!((p.log(0) + 2f64.ln()).abs() < 1e-5 && (p.log(2) + 4f64.ln()).abs() < 1e-5);
        assert!((p.divergence(&q) - 2f64.ln() / 4.0).abs() < 1e-5);
        assert_eq!((p.likeliest, q.likeliest), (0, 1));
        assert_eq!(p.divergence(&p), 0.0);
    }

    #[test]
    fn equals_go_to_the_lowest_id() {
        assert_eq!(Distribution::of(&[1.0, 3.0, 3.0]).unwrap().likeliest, 1);
    }

    #[test]
    fn an_id_that_cannot_be() {
        let p = Distribution::of(&[0.0, f32::NEG_INFINITY]).unwrap();
        let q = Distribution::of(&[0.0, 0.0]).unwrap();
        assert_eq!((p.log(0), p.log(1)), (0.0, f64::NEG_INFINITY));
        assert!((p.divergence(&q) - 2f64.ln()).abs() < 1e-12);
        assert_eq!(q.divergence(&p), f64::INFINITY);
    }

    #[test]
    fn rows_that_are_no_distribution() {
        for row in [&[0.0, f32::NAN][..], &[f32::NAN, 0.0], &[f32::INFINITY, 0.0], &[f32::NEG_INFINITY; 2], &[]] {
            assert!(Distribution::of(row).is_none(), "{row:?}");
        }
    }
}
