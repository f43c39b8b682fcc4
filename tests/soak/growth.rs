//! How fast a figure grows: a straight line through what was seen.

use std::fmt;

/// How much is added for each step to the right, and the standard error of that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    pub(crate) slope: f64,
    pub(crate) error: f64,
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.2} ± {:.2}", self.slope, self.error)
    }
}

/// The line through these points by least squares.
pub(crate) fn growth(points: impl Iterator<Item = (f64, f64)> + Clone) -> Growth {
    let (count, sum_x, sum_y) =
        points.clone().fold((0.0, 0.0, 0.0), |(n, x, y), point| (n + 1.0, x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let spread: f64 = points.clone().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let slope = points.clone().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread;
    let rest: f64 = points.map(|(x, y)| (y - mean_y - slope * (x - mean_x)).powi(2)).sum();
    Growth { slope, error: (rest / (count - 2.0_f64).max(1.0) / spread).sqrt() }
}
