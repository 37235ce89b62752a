use dmdx_graph::store::hash::Hasher;
use dmdx_train::session::Draws;

#[test]
fn draws_are_a_function_of_seed_phase_and_iteration() {
    let draw = |seed, phase, iteration| Draws::new(seed, phase, iteration).normal(&[4, 8]);
    assert_eq!(draw(1, "adp", 2), draw(1, "adp", 2));
    for other in [draw(2, "adp", 2), draw(1, "adm", 2), draw(1, "adp", 3)] {
        assert_ne!(draw(1, "adp", 2), other);
    }
}

/// A change of these bytes breaks the resuming of every run out there.
#[test]
fn draws_never_change() {
    let mut draws = Draws::new(0, "adp", 0);
    let mut hash = Hasher::new();
    for value in draws.normal(&[3, 5]).into_iter().chain(draws.uniform(7)) {
        hash.update(value.to_le_bytes());
    }
    for value in draws.integers(5, -3, 1000) {
        hash.update(value.to_le_bytes());
    }
    assert_eq!(hash.hex(), "ead0107bcbde8d1013b0816368bc94ccda661999de6d0807806dde72c41dcd82");
}

/// Bounds are five standard errors of the moments of 200 000 independent values.
#[test]
fn draws_are_distributed_as_they_say() {
    let count = 200_000;
    let n = count as f64;
    let mut draws = Draws::new(5, "test", 0);
    let normal: Vec<f64> = draws.normal(&[count]).into_iter().map(f64::from).collect();
    let mean = normal.iter().sum::<f64>() / n;
    let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let fourth = normal.iter().map(|x| (x - mean).powi(4)).sum::<f64>() / n;
    assert!(mean.abs() < 5.0 / n.sqrt(), "{mean}");
    assert!((variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{variance}");
    assert!((fourth - 3.0).abs() < 5.0 * (96.0 / n).sqrt(), "{fourth}");
    let uniform = draws.uniform(count);
    assert!(uniform.iter().all(|u| (0.0..1.0).contains(u)));
    let mean = uniform.iter().map(|&u| f64::from(u)).sum::<f64>() / n;
    assert!((mean - 0.5).abs() < 5.0 / (12.0 * n).sqrt(), "{mean}");
    // The cubic schedule of ADP: P(t/T > 0.9) = 0.464.
    let late = uniform.iter().filter(|&&u| 1.0 - u.powi(3) > 0.9).count() as f64 / n;
    assert!((late - 0.464).abs() < 0.006, "{late}");
    let integers = draws.integers(count, 36, 981);
    assert_eq!((integers.iter().min(), integers.iter().max()), (Some(&36), Some(&980)));
    let mean = integers.iter().sum::<i64>() as f64 / n;
    assert!((mean - 508.0).abs() < 5.0 * 945.0 / (12.0 * n).sqrt(), "{mean}");
    let correlation = normal.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / n;
    assert!(correlation.abs() < 5.0 / n.sqrt(), "{correlation}");
}

#[test]
fn empty_ranges_do_not_panic() {
    let mut draws = Draws::new(0, "x", 0);
    assert_eq!(draws.integers(3, 5, 5), [5, 5, 5]);
    assert_eq!(draws.integers(1, 5, -5), [5]);
    assert!(draws.normal(&[0, 4]).is_empty());
    assert_eq!(draws.integers(2, i64::MIN, i64::MAX).len(), 2);
}
