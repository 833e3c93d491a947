//! How many deliveries go to one destination at a time, and how that follows what became of earlier ones.
//!
//! Postfix's SCHEDULER_README: success opens the window by the positive feedback, trouble closes it by the negative one, and
//! a destination that fails for a whole window ("pseudo-cohort") in a row counts as dead.

use std::str::FromStr;

/// `…_destination_concurrency_positive_feedback` and its negative twin: `1`, `0.5`, `1/8`, `1/concurrency`,
/// `1/sqrt_concurrency`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feedback {
    /// 0 to 1.
    amount: f64,
    divisor: Divisor,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Divisor {
    One,
    Concurrency,
    SqrtConcurrency,
}

/// The text is none of the forms, or its value is not within 0 to 1. Postfix warns and takes `1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFeedback;

impl Feedback {
    pub const ONE: Feedback = Feedback { amount: 1.0, divisor: Divisor::One };

    fn at(self, window: u32) -> f64 {
        match self.divisor {
            Divisor::One => self.amount,
            Divisor::Concurrency => self.amount / f64::from(window),
            Divisor::SqrtConcurrency => self.amount / f64::from(window).sqrt(),
        }
    }
}

impl FromStr for Feedback {
    type Err = BadFeedback;

    fn from_str(text: &str) -> Result<Feedback, BadFeedback> {
        let number = |t: &str| t.trim().parse::<f64>().ok().filter(|n| n.is_finite()).ok_or(BadFeedback);
        let (amount, divisor) = match text.split_once('/') {
            None => (number(text)?, Divisor::One),
            Some((amount, by)) => match by.trim() {
                "concurrency" => (number(amount)?, Divisor::Concurrency),
                "sqrt_concurrency" => (number(amount)?, Divisor::SqrtConcurrency),
                by => (number(amount)? / number(by)?, Divisor::One),
            },
        };
        if (0.0..=1.0).contains(&amount) { Ok(Feedback { amount, divisor }) } else { Err(BadFeedback) }
    }
}

/// The parameters of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowLimits {
    /// `…_initial_destination_concurrency`, at least 1.
    pub initial_destination_concurrency: u32,
    /// `…_destination_concurrency_limit`; 0: none.
    pub destination_concurrency_limit: u32,
    pub positive_feedback: Feedback,
    pub negative_feedback: Feedback,
    /// `…_destination_concurrency_failed_cohort_limit`; 0: a destination is never dead.
    pub failed_cohort_limit: u32,
}

/// One destination's window: at least 1, at most the limit.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    size: u32,
    success: f64,
    failure: f64,
    failed_cohorts: f64,
}

impl Window {
    pub(crate) fn new(limits: &WindowLimits) -> Window {
        let cap = limits.cap();
        let size = limits.initial_destination_concurrency.clamp(1, cap);
        Window { size, success: 0.0, failure: 0.0, failed_cohorts: 0.0 }
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// A delivery went well while `busy` were under way, itself included.
    pub(crate) fn open(&mut self, busy: u32, limits: &WindowLimits) {
        self.failed_cohorts = 0.0;
        let cap = limits.cap();
        // A window far above what is used would make the negative feedback toothless.
        if self.size >= cap || self.size >= busy.saturating_add(limits.initial_destination_concurrency) {
            return;
        }
        let feedback = limits.positive_feedback.at(self.size);
        self.success += feedback;
        while self.success + feedback / 2.0 >= 1.0 {
            self.size += 1;
            self.success -= 1.0;
            self.failure = 0.0;
        }
        self.size = self.size.min(cap);
    }

    /// The destination was in trouble. True: it has failed so often in a row that it counts as dead.
    #[must_use]
    pub(crate) fn close(&mut self, limits: &WindowLimits) -> bool {
        self.failed_cohorts += 1.0 / f64::from(self.size);
        let limit = limits.failed_cohort_limit;
        // Eight failures at a window of 8 are one cohort, whatever the rounding says.
        if limit > 0 && self.failed_cohorts >= f64::from(limit) - 1e-9 {
            return true;
        }
        let feedback = limits.negative_feedback.at(self.size);
        self.failure -= feedback;
        while self.failure - feedback / 2.0 < 0.0 {
            self.size = self.size.saturating_sub(1);
            self.success = 0.0;
            self.failure += 1.0;
        }
        self.size = self.size.max(1);
        false
    }

    /// Back from the dead: as much as is still under way, or the beginning.
    pub(crate) fn revive(&mut self, busy: u32, limits: &WindowLimits) {
        *self = Window::new(limits);
        if busy > 0 {
            self.size = busy.min(limits.cap());
        }
    }
}

impl WindowLimits {
    fn cap(&self) -> u32 {
        match self.destination_concurrency_limit {
            0 => u32::MAX,
            limit => limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(initial: u32, limit: u32, positive: &str, negative: &str, cohorts: u32) -> WindowLimits {
        WindowLimits {
            initial_destination_concurrency: initial,
            destination_concurrency_limit: limit,
            positive_feedback: positive.parse().expect("feedback"),
            negative_feedback: negative.parse().expect("feedback"),
            failed_cohort_limit: cohorts,
        }
    }

    #[test]
    fn feedback_forms() {
        for (text, window, expect) in [
            ("1", 4, Some(1.0)),
            ("0.5", 4, Some(0.5)),
            ("1/8", 4, Some(0.125)),
            ("1 / 8", 4, Some(0.125)),
            ("1/concurrency", 4, Some(0.25)),
            ("0.5/concurrency", 4, Some(0.125)),
            ("1/sqrt_concurrency", 4, Some(0.5)),
            ("2", 4, None),
            ("-1", 4, None),
            ("1/0", 4, None),
            ("1/none", 4, None),
            ("x", 4, None),
            ("", 4, None),
        ] {
            assert_eq!(text.parse::<Feedback>().ok().map(|f| f.at(window)), expect, "{text}");
        }
    }

    #[test]
    fn success_opens_to_the_limit_but_not_far_beyond_use() {
        let limits = limits(5, 20, "1", "1", 1);
        let mut window = Window::new(&limits);
        assert_eq!(window.size(), 5);
        (0..100).for_each(|_| window.open(3, &limits));
        assert_eq!(window.size(), 8);
        (0..100).for_each(|_| window.open(19, &limits));
        assert_eq!(window.size(), 20);
    }

    #[test]
    fn a_fraction_takes_as_many_events() {
        let limits = limits(2, 20, "1/concurrency", "1/8", 0);
        let mut window = Window::new(&limits);
        window.open(2, &limits);
        assert_eq!(window.size(), 2);
        window.open(2, &limits);
        assert_eq!(window.size(), 3);
        let sizes: Vec<u32> = (0..10)
            .map(|_| {
                assert!(!window.close(&limits));
                window.size()
            })
            .collect();
        assert_eq!(sizes, [2, 2, 2, 2, 2, 2, 2, 1, 1, 1], "the first failure counts at once");
    }

    #[test]
    fn one_failed_cohort_is_death() {
        let limits = limits(5, 20, "1", "1/concurrency", 1);
        let mut window = Window::new(&limits);
        let died_at = (1..).find(|_| window.close(&limits));
        assert!(matches!(died_at, Some(3..=5)), "{died_at:?}");
        window.revive(0, &limits);
        assert_eq!(window.size(), 5);
    }

    #[test]
    fn success_between_failures_keeps_it_alive() {
        let limits = limits(5, 20, "1", "1", 1);
        let mut window = Window::new(&limits);
        for _ in 0..100 {
            window.open(5, &limits);
            assert!(window.size() == 1 || !window.close(&limits));
        }
    }

    proptest! {
        #[test]
        fn stays_within_its_bounds(
            initial in 1u32..30, limit in 0u32..30, cohorts in 0u32..4,
            positive in prop::sample::select(vec!["1", "0.3", "1/concurrency", "1/sqrt_concurrency"]),
            negative in prop::sample::select(vec!["1", "0", "1/8", "1/concurrency", "1/sqrt_concurrency"]),
            events in prop::collection::vec((any::<bool>(), 1u32..30), 0..300),
        ) {
            let limits = limits(initial, limit, positive, negative, cohorts);
            let mut window = Window::new(&limits);
            for (good, busy) in events {
                if good {
                    window.open(busy.min(window.size()), &limits);
                } else if window.close(&limits) {
                    window.revive(0, &limits);
                }
                prop_assert!(window.size() >= 1);
                prop_assert!(limit == 0 || window.size() <= limit);
            }
        }
    }
}
