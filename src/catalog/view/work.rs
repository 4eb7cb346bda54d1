//! Jobs and runs.

use crate::catalog::{Catalog, CatalogError};
use crate::model::{Job, RunReport};

impl Catalog {
    /// All jobs, by number.
    ///
    /// # Errors
    /// SQLite's.
    pub fn jobs(&self) -> Result<Vec<Job>, CatalogError> {
        let texts = self.rows("SELECT record FROM jobs ORDER BY id", [], |row| {
            row.get::<_, String>(0)
        })?;
        Ok(texts
            .iter()
            .filter_map(|t| serde_json::from_str(t).ok())
            .collect())
    }

    /// All finished runs, by number.
    ///
    /// # Errors
    /// SQLite's.
    pub fn runs(&self) -> Result<Vec<RunReport>, CatalogError> {
        let texts = self.rows("SELECT record FROM runs ORDER BY id", [], |row| {
            row.get::<_, String>(0)
        })?;
        Ok(texts
            .iter()
            .filter_map(|t| serde_json::from_str(t).ok())
            .collect())
    }
}
