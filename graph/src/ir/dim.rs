//! Symbolic dimensions: polynomials with integer coefficients over named symbols.
//!
//! Importers choose the symbols in patch units (`height = 8*h`) so that every division in a network is exact.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::DimError;

type Result<T> = std::result::Result<T, DimError>;

/// A named size that is known only when the graph runs.
pub type Symbol = Arc<str>;

/// The sizes that one run gives to the symbols.
pub type Bindings = BTreeMap<Symbol, usize>;

/// A polynomial such as `4*h*w + 1`; an empty product is the constant term. Compared structurally.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Dim {
    /// Sorted factors of each monomial, with a coefficient that is never zero.
    terms: BTreeMap<Vec<Symbol>, i64>,
}

impl Dim {
    /// A known size.
    pub fn constant(size: usize) -> Self {
        Self::from_terms([(Vec::new(), i64::try_from(size).unwrap_or(i64::MAX))])
    }

    /// One symbol.
    pub fn symbol(name: &str) -> Self {
        Self::from_terms([(vec![Symbol::from(name)], 1)])
    }

    fn from_terms(terms: impl IntoIterator<Item = (Vec<Symbol>, i64)>) -> Self {
        let mut sum: BTreeMap<Vec<Symbol>, i64> = BTreeMap::new();
        for (factors, coefficient) in terms {
            let entry = sum.entry(factors).or_insert(0);
            *entry = entry.saturating_add(coefficient);
        }
        sum.retain(|_, coefficient| *coefficient != 0);
        Self { terms: sum }
    }

    /// The size, if no symbol occurs.
    pub fn known(&self) -> Option<usize> {
        match self.terms.len() {
            0 => Some(0),
            1 => self.terms.get(&Vec::new()).and_then(|&c| usize::try_from(c).ok()),
            _ => None,
        }
    }

    /// Whether this is the constant `size`.
    pub fn is(&self, size: usize) -> bool {
        self.known() == Some(size)
    }

    /// `self + other`.
    pub fn plus(&self, other: &Dim) -> Dim {
        Self::from_terms(self.terms.iter().chain(&other.terms).map(|(f, c)| (f.clone(), *c)))
    }

    /// `self - other`, which may be negative.
    pub fn minus(&self, other: &Dim) -> Dim {
        Self::from_terms(self.terms.iter().map(|(f, c)| (f.clone(), *c)).chain(other.terms.iter().map(|(f, c)| (f.clone(), -c))))
    }

    /// `self + offset`, where the offset may be negative.
    pub fn offset(&self, offset: i64) -> Dim {
        Self::from_terms(self.terms.iter().map(|(f, c)| (f.clone(), *c)).chain([(Vec::new(), offset)]))
    }

    /// `self * other`.
    pub fn times(&self, other: &Dim) -> Dim {
        Self::from_terms(self.terms.iter().flat_map(|(f, c)| {
            other.terms.iter().map(move |(g, d)| {
                let mut factors: Vec<Symbol> = f.iter().chain(g).cloned().collect();
                factors.sort();
                (factors, c.saturating_mul(*d))
            })
        }))
    }

    /// `self * factor`.
    pub fn scaled(&self, factor: usize) -> Dim {
        self.times(&Dim::constant(factor))
    }

    /// `self / divisor`, exact.
    ///
    /// # Errors
    /// When a coefficient is not a multiple of the divisor.
    pub fn exact_div(&self, divisor: usize) -> Result<Dim> {
        let quotient = self.floor_div(divisor)?;
        if quotient.scaled(divisor) == *self { Ok(quotient) } else { Err(self.indivisible(divisor)) }
    }

    /// `floor(self / divisor)`, which needs every symbolic term to be divisible.
    ///
    /// # Errors
    /// When a symbolic term is not a multiple of the divisor.
    pub fn floor_div(&self, divisor: usize) -> Result<Dim> {
        let Some(by) = i64::try_from(divisor).ok().filter(|d| *d > 0) else { return Err(self.indivisible(divisor)) };
        if self.terms.iter().any(|(factors, c)| !factors.is_empty() && c % by != 0) {
            return Err(self.indivisible(divisor));
        }
        Ok(Self::from_terms(self.terms.iter().map(|(f, c)| (f.clone(), c.div_euclid(by)))))
    }

    fn indivisible(&self, divisor: usize) -> DimError {
        DimError::Indivisible { dim: self.to_string(), divisor }
    }

    /// The size under `bindings`.
    ///
    /// # Errors
    /// When a symbol is not bound, or the value is negative or too large.
    pub fn eval(&self, bindings: &Bindings) -> Result<usize> {
        let large = || DimError::TooLarge { dim: self.to_string() };
        let mut total: i64 = 0;
        for (factors, coefficient) in &self.terms {
            let mut product = *coefficient;
            for symbol in factors {
                let unbound = || DimError::Unbound { dim: self.to_string(), symbol: symbol.to_string() };
                let size = i64::try_from(*bindings.get(symbol).ok_or_else(unbound)?).map_err(|_| large())?;
                product = product.checked_mul(size).ok_or_else(large)?;
            }
            total = total.checked_add(product).ok_or_else(large)?;
        }
        usize::try_from(total).map_err(|_| DimError::Negative { dim: self.to_string(), size: total })
    }

    /// If this is `coefficient * symbol`, both parts: the form from which a concrete size binds a symbol.
    pub fn as_scaled_symbol(&self) -> Option<(&Symbol, usize)> {
        let (factors, coefficient) = self.terms.iter().next().filter(|_| self.terms.len() == 1)?;
        match factors.as_slice() {
            [symbol] => usize::try_from(*coefficient).ok().filter(|c| *c > 0).map(|c| (symbol, c)),
            _ => None,
        }
    }

    /// The monomials: sorted factors, empty for the constant term, and the coefficient.
    pub fn terms(&self) -> impl Iterator<Item = (&[Symbol], i64)> {
        self.terms.iter().map(|(factors, coefficient)| (factors.as_slice(), *coefficient))
    }

    /// Every symbol that occurs, sorted.
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.terms.keys().flatten()
    }
}

impl From<usize> for Dim {
    fn from(size: usize) -> Self {
        Dim::constant(size)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return f.write_str("0");
        }
        // Symbolic terms first, the constant last, as one writes them.
        let (constants, symbolic): (Vec<_>, Vec<_>) = self.terms.iter().partition(|(factors, _)| factors.is_empty());
        for (i, (factors, coefficient)) in symbolic.into_iter().chain(constants).enumerate() {
            if i > 0 {
                f.write_str("+")?;
            }
            if factors.is_empty() {
                write!(f, "{coefficient}")?;
            } else {
                if *coefficient != 1 {
                    write!(f, "{coefficient}*")?;
                }
                f.write_str(&factors.join("*"))?;
            }
        }
        Ok(())
    }
}

impl FromStr for Dim {
    type Err = DimError;

    fn from_str(text: &str) -> Result<Self> {
        let shown = || text.chars().take(80).collect();
        let mut terms = Vec::new();
        for term in text.split('+') {
            let mut coefficient = 1i64;
            let mut factors = Vec::new();
            for factor in term.split('*') {
                let factor = factor.trim();
                if let Ok(number) = factor.parse::<i64>() {
                    coefficient = coefficient.checked_mul(number).ok_or_else(|| DimError::TooLarge { dim: shown() })?;
                } else if !factor.is_empty()
                    && factor.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                    && !factor.starts_with(|c: char| c.is_ascii_digit())
                {
                    factors.push(Symbol::from(factor));
                } else {
                    return Err(DimError::Syntax { dim: shown() });
                }
            }
            factors.sort();
            terms.push((factors, coefficient));
        }
        Ok(Self::from_terms(terms))
    }
}

impl Serialize for Dim {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.known() {
            Some(size) => serializer.serialize_u64(size as u64),
            None => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Dim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Size(u64),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Size(size) => usize::try_from(size).map(Dim::constant).map_err(serde::de::Error::custom),
            Raw::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}
