//! Prompts: from a template, a list or a file, none of them held in memory but a list's.

use dmdx_graph::store::hash::Hasher;

use super::captions::Captions;
use super::prompt_file::PromptFile;
use super::template::Template;
use crate::error::TrainError;
use crate::recipe::LoadedRecipe;

/// The recipe's prompts, in order. A prompt's place is its id, in the pairs and in the conditions.
#[derive(Clone, Debug)]
pub struct Prompts {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Template(Template),
    File(PromptFile),
    List(Vec<String>),
    /// Of pictures.
    Captions(Captions),
    /// The second behind the first.
    Both(Box<Prompts>, Box<Prompts>),
}

impl Prompts {
    /// The prompts of a recipe. A file is read once, to count them.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] about the template or the column, or where there is no prompt or no id for the last; [`TrainError::Read`]
    /// and [`TrainError::Damaged`] about the file.
    pub fn open(loaded: &LoadedRecipe) -> Result<Self, TrainError> {
        let section = &loaded.recipe.prompts;
        let (key, source) = if let Some(template) = &section.template {
            ("prompts.template", Source::Template(Template::new(template, &section.values)?))
        } else if let Some(file) = &section.file {
            ("prompts.file", Source::File(PromptFile::open(&loaded.resolve(file), section.column.as_deref())?))
        } else {
            ("prompts.list", Source::List(section.list.clone().unwrap_or_default()))
        };
        let prompts = Self { source };
        match prompts.len() {
            0 => Err(TrainError::recipe(key, "gives no prompt, but a run needs at least one")),
            count if u32::try_from(count).is_err() => {
                Err(TrainError::recipe(key, format!("gives {count} prompts, but ids have 32 bits")))
            }
            _ => Ok(prompts),
        }
    }

    /// Prompts that are listed.
    pub fn list(texts: Vec<String>) -> Self {
        Self { source: Source::List(texts) }
    }

    /// Captions of pictures.
    pub fn captions(captions: Captions) -> Self {
        Self { source: Source::Captions(captions) }
    }

    /// These texts, and behind them others.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] where there is no id for the last.
    pub fn followed_by(self, others: Self) -> Result<Self, TrainError> {
        let both = Self { source: Source::Both(Box::new(self), Box::new(others)) };
        match u32::try_from(both.len()) {
            Ok(_) => Ok(both),
            Err(_) => Err(TrainError::recipe("data", format!("makes {} prompts and captions, but ids have 32 bits", both.len()))),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Template(template) => template.len(),
            Source::File(file) => file.len(),
            Source::List(list) => list.len(),
            Source::Captions(captions) => captions.len(),
            Source::Both(first, second) => first.len().saturating_add(second.len()),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Prompt number `id`.
    ///
    /// # Errors
    /// [`TrainError::NoRow`] where there is none; [`TrainError::Read`] and [`TrainError::Damaged`] about the file.
    pub fn get(&self, id: usize) -> Result<String, TrainError> {
        self.starting(id)?.next().unwrap_or_else(|| {
            let number = i64::try_from(id).unwrap_or(i64::MAX);
            Err(TrainError::NoRow { one: "prompt", number, count: self.len() })
        })
    }

    /// The prompts from number `first` on, made or read one after the other.
    ///
    /// # Errors
    /// [`TrainError::Read`] and [`TrainError::Damaged`] about the file.
    pub fn starting(&self, first: usize) -> Result<Box<dyn Iterator<Item = Result<String, TrainError>> + '_>, TrainError> {
        Ok(match &self.source {
            Source::Template(template) => Box::new((first..).map_while(|number| template.get(number)).map(Ok)),
            Source::File(file) => file.starting(first)?,
            Source::List(list) => Box::new(list.iter().skip(first).cloned().map(Ok)),
            Source::Captions(captions) => Box::new(captions.starting(first)?.map(|found| found.map(|found| found.text))),
            Source::Both(texts, others) => match first.checked_sub(texts.len()) {
                Some(first) => others.starting(first)?,
                None => Box::new(texts.starting(first)?.chain(others.starting(0)?)),
            },
        })
    }

    /// One hash of all, in order, in hexadecimal.
    ///
    /// # Errors
    /// [`TrainError::Read`] and [`TrainError::Damaged`] about the file.
    pub fn sha256(&self) -> Result<String, TrainError> {
        let mut hasher = Hasher::new();
        for prompt in self.starting(0)? {
            hasher.text(&prompt?);
        }
        Ok(hasher.hex())
    }
}
