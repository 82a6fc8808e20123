//! How many pods each replica set of a deployment is to have. Pure arithmetic.

use serde_json::Value;

use crate::object;

/// A replica set as the arithmetic sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Size {
    /// What the set is to have.
    pub(super) replicas: i64,
    pub(super) available: i64,
    /// The most that its deployment allowed when the set was sized last; none if unknown.
    pub(super) most: Option<i64>,
}

/// What a deployment allows while it rolls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) replicas: i64,
    pub(super) surge: i64,
    pub(super) unavailable: i64,
    pub(super) rolling: bool,
}

impl Limits {
    pub(super) fn of(deployment: &Value) -> Self {
        let spec = &deployment["spec"];
        let replicas = spec["replicas"].as_i64().unwrap_or(1);
        let rolling = object::text(spec, &["strategy", "type"]) == "RollingUpdate";
        if !rolling {
            return Limits { replicas, surge: 0, unavailable: 0, rolling };
        }
        let update = &spec["strategy"]["rollingUpdate"];
        let surge = amount(&update["maxSurge"], replicas, true);
        let mut unavailable = amount(&update["maxUnavailable"], replicas, false);
        if surge == 0 && unavailable == 0 {
            // Something has to move.
            unavailable = 1;
        }
        Limits { replicas, surge, unavailable: unavailable.min(replicas), rolling }
    }

    /// How many pods a new set is to have beside the others.
    pub(super) fn grown(&self, own: i64, all: i64) -> i64 {
        if !self.rolling {
            return self.replicas;
        }
        let most = self.replicas + self.surge;
        if all >= most { own } else { own + (most - all).min(self.replicas - own) }
    }
}

/// A number, or a share in percent of another one.
pub(crate) fn amount(value: &Value, of: i64, round_up: bool) -> i64 {
    if let Some(number) = value.as_i64() {
        return number;
    }
    let percent = value.as_str().and_then(|text| text.strip_suffix('%'));
    let percent: i64 = percent.and_then(|text| text.parse().ok()).unwrap_or_default();
    let hundredfold = percent.saturating_mul(of);
    if round_up { hundredfold.saturating_add(99).div_euclid(100) } else { hundredfold / 100 }
}

/// The sizes of the old sets, oldest first, after one step; pods that are not available go first.
pub(super) fn shrunk(limits: &Limits, new: &Size, old: &[Size]) -> Vec<i64> {
    let mut sizes: Vec<i64> = old.iter().map(|set| set.replicas).collect();
    let least = limits.replicas - limits.unavailable;
    let all = new.replicas + sizes.iter().sum::<i64>();
    let mut left = all - least - (new.replicas - new.available);
    if left <= 0 {
        return sizes;
    }
    for (size, set) in sizes.iter_mut().zip(old) {
        let gone = (*size - set.available).clamp(0, left);
        *size -= gone;
        left -= gone;
    }
    let available = new.available + old.iter().map(|set| set.available).sum::<i64>();
    let mut left = (available - least).max(0);
    for size in &mut sizes {
        let gone = (*size).min(left);
        *size -= gone;
        left -= gone;
    }
    sizes
}

/// The sizes of all sets with pods after the deployment itself was scaled in the middle of an
/// update: each keeps its share. The sets come newest first.
pub(super) fn shared_out(limits: &Limits, sets: &[Size], total: i64) -> Vec<i64> {
    let sum: i64 = sets.iter().map(|set| set.replicas).sum();
    let allowed = if limits.replicas > 0 { limits.replicas + limits.surge } else { 0 };
    let to_add = allowed - sum;
    let mut order: Vec<usize> = (0..sets.len()).collect();
    if to_add > 0 {
        order.sort_by_key(|at| (-sets[*at].replicas, *at));
    } else {
        order.sort_by_key(|at| (-sets[*at].replicas, usize::MAX - *at));
    }
    let mut sizes: Vec<i64> = sets.iter().map(|set| set.replicas).collect();
    if to_add == 0 {
        return sizes;
    }
    let mut added = 0;
    for at in &order {
        let set = &sets[*at];
        if set.replicas == 0 || added == to_add {
            continue;
        }
        let share = if limits.replicas == 0 {
            -set.replicas
        } else {
            let before = set.most.filter(|most| *most > 0).unwrap_or(total).max(1);
            let wanted = limits.replicas + limits.surge;
            let size = (set.replicas * wanted) as f64 / before as f64;
            size.round() as i64 - set.replicas
        };
        let share = if to_add > 0 { share.min(to_add - added) } else { share.max(to_add - added) };
        sizes[*at] += share;
        added += share;
    }
    // The largest takes what is left.
    if let Some(first) = order.first() {
        sizes[*first] = (sizes[*first] + to_add - added).max(0);
    }
    sizes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use serde_json::json;

    use super::*;

    fn limits(replicas: i64, surge: Value, unavailable: Value) -> Limits {
        Limits::of(&json!({"spec": {"replicas": replicas, "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
        }}}))
    }

    fn size(replicas: i64, available: i64) -> Size {
        Size { replicas, available, most: None }
    }

    #[test]
    fn shares_round_up_for_the_surge_and_down_for_what_may_be_missing() {
        for (replicas, surge, unavailable, expected) in [
            (10, json!("25%"), json!("25%"), (3, 2)),
            (1, json!("25%"), json!("25%"), (1, 0)),
            (4, json!(0), json!(0), (0, 1)),
            (2, json!(0), json!("25%"), (0, 1)),
            (3, json!(2), json!(9), (2, 3)),
            (0, json!("25%"), json!("25%"), (0, 0)),
        ] {
            let limits = limits(replicas, surge.clone(), unavailable.clone());
            assert_eq!((limits.surge, limits.unavailable), expected, "{replicas} {surge}");
        }
    }

    #[test]
    fn a_new_set_grows_as_far_as_the_surge_allows() {
        let limits = limits(10, json!(3), json!(2));
        for (own, all, expected) in [(0, 10, 3), (3, 13, 3), (3, 11, 5), (8, 8, 10), (10, 10, 10)] {
            assert_eq!(limits.grown(own, all), expected, "{own} of {all}");
        }
    }

    #[test]
    fn old_sets_shrink_as_new_pods_become_available() {
        let limits = limits(10, json!(3), json!(2));
        for (new, old, expected) in [
            // Nothing of the new set is there yet: only what may be missing goes.
            (size(3, 0), vec![size(10, 10)], vec![8]),
            (size(5, 3), vec![size(8, 8)], vec![5]),
            // Pods that are not available go at once.
            (size(3, 0), vec![size(10, 6)], vec![8]),
            (size(3, 0), vec![size(2, 0), size(8, 8)], vec![0, 8]),
            (size(10, 10), vec![size(1, 1), size(2, 2)], vec![0, 0]),
            (size(10, 10), vec![], vec![]),
        ] {
            assert_eq!(shrunk(&limits, &new, &old), expected, "{new:?} {old:?}");
        }
    }

    #[test]
    fn a_deployment_that_is_scaled_in_the_middle_keeps_the_shares() {
        let limits = limits(20, json!(0), json!(0));
        let sets = [
            Size { replicas: 5, available: 5, most: Some(10) },
            Size { replicas: 5, available: 5, most: Some(10) },
        ];
        assert_eq!(shared_out(&limits, &sets, 10), [10, 10]);
        let none = Limits { replicas: 0, ..limits };
        assert_eq!(shared_out(&none, &sets, 10), [0, 0]);
    }

    proptest! {
        #[test]
        fn a_step_never_goes_below_what_must_be_available(
            replicas in 1_i64..50,
            surge in 0_i64..10,
            unavailable in 0_i64..10,
            old in proptest::collection::vec((0_i64..30, 0_i64..30), 0..4),
            new in (0_i64..50, 0_i64..50),
        ) {
            let limits = limits(replicas, json!(surge), json!(unavailable));
            let old: Vec<Size> = old.into_iter().map(|(all, up)| size(all, up.min(all))).collect();
            let new = size(new.0, new.1.min(new.0));
            let before: i64 = new.available + old.iter().map(|set| set.available).sum::<i64>();
            let sizes = shrunk(&limits, &new, &old);
            let after = new.available
                + sizes.iter().zip(&old).map(|(size, set)| set.available.min(*size)).sum::<i64>();
            let least = limits.replicas - limits.unavailable;
            prop_assert!(after >= least.min(before), "{sizes:?}");
            prop_assert!(sizes.iter().zip(&old).all(|(size, set)| (0..=set.replicas).contains(size)));
        }

        #[test]
        fn shares_add_up(
            replicas in 1_i64..100,
            surge in 0_i64..10,
            sets in proptest::collection::vec(1_i64..40, 1..4),
        ) {
            let limits = limits(replicas, json!(surge), json!(0));
            let total = sets.iter().sum();
            let sets: Vec<Size> =
                sets.into_iter().map(|all| Size { most: Some(total), ..size(all, all) }).collect();
            let sizes = shared_out(&limits, &sets, total);
            prop_assert_eq!(sizes.iter().sum::<i64>(), limits.replicas + limits.surge);
        }
    }
}
