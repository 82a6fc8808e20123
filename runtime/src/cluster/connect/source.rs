//! Who gives tokens for a cluster.

use super::ConnectError;
use super::aks::{self, Aks};
use super::eks::{self, Eks};
use super::gke::{self, Gke};
use super::token::Token;

/// Who gives tokens.
pub(super) enum Source {
    Aks(Aks),
    Eks(Box<Eks>),
    Gke(Gke),
}

impl Source {
    pub(super) async fn token(&self) -> Result<Token, ConnectError> {
        match self {
            Source::Aks(aks) => aks.token().await,
            Source::Eks(eks) => eks.token().await,
            Source::Gke(gke) => gke.token().await,
        }
    }

    /// Who asks, as far as is known here.
    pub(super) fn identity(&self) -> String {
        match self {
            Source::Aks(aks) => aks.identity(),
            Source::Eks(eks) => eks.identity(),
            Source::Gke(gke) => gke.identity(),
        }
    }

    /// What to look at where a cluster does not know them.
    pub(super) fn mend(&self) -> &'static str {
        match self {
            Source::Aks(_) => aks::MEND_TOKEN,
            Source::Eks(_) => eks::MEND_TOKEN,
            Source::Gke(_) => gke::MEND_TOKEN,
        }
    }
}
