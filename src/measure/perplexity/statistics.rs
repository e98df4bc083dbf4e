//! Means and quantiles.

/// A mean and its standard error, for independent numbers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Its standard error; infinite for a single number.
    pub error: f64,
}

impl Mean {
    /// The mean of some numbers; NaN for an empty slice.
    pub fn of(numbers: &[f64]) -> Self {
        let count = numbers.len() as f64;
        let value = numbers.iter().sum::<f64>() / count;
        let squares: f64 = numbers.iter().map(|number| (number - value).powi(2)).sum();
        let error = if numbers.len() > 1 { (squares / (count - 1.0) / count).sqrt() } else { f64::INFINITY };
        Self { value, error }
    }

    /// The exponential of the mean; the error scales by the slope there.
    pub fn exp(self) -> Self {
        let value = self.value.exp();
        Self { value, error: value * self.error }
    }
}

/// Quantile `share` of sorted numbers, with linear interpolation. NaN for an empty slice.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let below = (place as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_of_four() {
        // Deviations −3, −1, 1, 3: sum of squares 20, variance 20/3, variance of the mean 20/3/4.
        let mean = Mean::of(&[1.0, 3.0, 5.0, 7.0]);
        assert_eq!((mean.value, mean.error), (4.0, (5.0f64 / 3.0).sqrt()));
        let grown = mean.exp();
        assert_eq!((grown.value, grown.error), (4f64.exp(), 4f64.exp() * mean.error));
    }

    #[test]
    fn one_number_says_nothing_of_its_error() {
        assert_eq!(Mean::of(&[2.0]), Mean { value: 2.0, error: f64::INFINITY });
        assert!(Mean::of(&[]).value.is_nan());
    }

    #[test]
    fn quantiles_lie_between_numbers() {
        let sorted = [0.0, 1.0, 2.0, 4.0];
        let found = [0.0, 0.5, 0.75, 0.99, 1.0].map(|share| quantile(&sorted, share));
        let wanted = [0.0, 1.5, 2.5, 3.94, 4.0];
        assert!(found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-12), "{found:?}");
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
