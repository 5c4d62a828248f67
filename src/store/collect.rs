//! Collection: frees what nothing refers to, while others upload and read.
//!
//! First a plan is made from one consistent view; then each step of it is checked again within the
//! transaction that carries it out, so that what came into use meanwhile stays. Files go after the
//! rows that named them; readers that have one open read on.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use super::{
    Store,
    artifacts::HELD,
    blobs::{Place, blocking, place},
    db::{Tx, count, json, params},
    home::{Lock, io_error},
    packs::{Pack, PackWriter, UNFINISHED},
    trees::decode,
};
use api::{
    Error, Result, Time,
    deployments::{Deployment, ImageBase},
    environments::FreedEnvironments,
    files::{Collected, Hash},
};

/// Packs rewritten before their rows are changed together.
const GROUP: usize = 16;
/// Files that are removed at once.
const AT_ONCE: usize = 8;

/// A pack that loses blobs.
#[derive(Debug)]
struct Shrink {
    pack: String,
    dead: Vec<Hash>,
    kept: Vec<Place>,
    /// Bytes that go with it.
    freed: u64,
}

/// What a collection is to do.
#[derive(Debug, Default)]
struct Plan {
    dead_trees: Vec<(i64, Hash)>,
    /// Trees whose blobs were seen to be referred to.
    known_trees: HashSet<Hash>,
    /// What was touched at this time or later stays.
    cutoff: i64,
}

/// One consistent view of what is stored and referred to.
struct Survey {
    trees: Vec<(i64, Hash, Time)>,
    used: HashSet<(i64, Hash)>,
    artifacts: HashSet<Hash>,
    blobs: Vec<(Place, Time)>,
}

impl Store {
    /// Frees, or with `dry_run` counts, what nothing refers to and was not touched since `cutoff`.
    /// Uploads in parts whose time was over by then are forgotten.
    pub async fn collect(&self, dry_run: bool, cutoff: Time) -> Result<Collected> {
        let Some(_lock) = Lock::try_take(&self.home.root().join("gc.lock"))? else {
            return Err(Error::conflict("Another collection is running")
                .hint("Wait until it has ended and try again"));
        };
        if !dry_run {
            self.drop_expired_uploads(cutoff).await?;
        }
        let survey = self.db.read(move |tx| survey(tx, cutoff)).await?;
        let (plan, live, recent) = self.mark(&survey, cutoff).await?;
        let rows: HashSet<String> = survey.blobs.iter().map(|(p, _)| p.pack.clone()).collect();
        let stays = |place: &Place, at: Time| {
            live.contains(&place.hash) || recent.contains(&place.hash) || at >= cutoff
        };
        let mut collected = Collected {
            environments: FreedEnvironments::default(),
            images: 0,
            blobs: 0,
            bytes: 0,
            recent: survey
                .blobs
                .iter()
                .filter(|(place, at)| !live.contains(&place.hash) && stays(place, *at))
                .map(|(place, _)| place.size)
                .sum(),
        };
        let shrinks = self.shrinks(survey.blobs, stays);
        let plan = Arc::new(plan);
        if dry_run {
            for shrink in &shrinks {
                collected.blobs += shrink.dead.len() as u64;
                collected.bytes += shrink.freed;
            }
        } else {
            let (rewritten, dropped): (Vec<_>, Vec<_>) = shrinks
                .into_iter()
                .partition(|shrink| !shrink.kept.is_empty());
            // First what needs no space, for a disk that is full.
            self.carry_out(&plan, dropped, &mut collected).await?;
            let mut rewritten = rewritten.into_iter();
            loop {
                let group: Vec<_> = rewritten.by_ref().take(GROUP).collect();
                if group.is_empty() {
                    break;
                }
                self.carry_out(&plan, group, &mut collected).await?;
            }
        }
        collected.bytes += self.collect_strays(&rows, dry_run).await?;
        collected.bytes += self.collect_logs(dry_run).await?;
        Ok(collected)
    }

    /// Finds what is referred to: by trees in use and artifacts, and by trees touched lately.
    async fn mark(
        &self,
        survey: &Survey,
        cutoff: Time,
    ) -> Result<(Plan, HashSet<Hash>, HashSet<Hash>)> {
        let mut plan = Plan {
            cutoff: cutoff.0,
            ..Plan::default()
        };
        let (mut used, mut lately) = (HashSet::new(), HashSet::new());
        for &(workspace, hash, touched_at) in &survey.trees {
            if survey.used.contains(&(workspace, hash)) {
                used.insert(hash);
            } else if touched_at >= cutoff {
                lately.insert(hash);
            } else {
                plan.dead_trees.push((workspace, hash));
            }
        }
        let mut live = self.blobs_of(used.iter().copied()).await?;
        live.extend(&survey.artifacts);
        let recent = self.blobs_of(lately.difference(&used).copied()).await?;
        plan.known_trees = used.union(&lately).copied().collect();
        Ok((plan, live, recent))
    }

    /// The blobs that trees refer to, with their own.
    async fn blobs_of(&self, trees: impl Iterator<Item = Hash>) -> Result<HashSet<Hash>> {
        let mut blobs = HashSet::new();
        for hash in trees {
            let Some(manifest) = self.open_blob(hash).await? else {
                return Err(damaged(hash));
            };
            let tree = blocking(move || decode(&manifest.read()?)).await?;
            blobs.insert(hash);
            blobs.extend(tree.entries.into_iter().map(|entry| entry.hash));
        }
        Ok(blobs)
    }

    /// The packs that have bytes nobody needs.
    fn shrinks(
        &self,
        blobs: Vec<(Place, Time)>,
        stays: impl Fn(&Place, Time) -> bool,
    ) -> Vec<Shrink> {
        let mut packs: HashMap<String, Shrink> = HashMap::new();
        for (place, touched_at) in blobs {
            let shrink = packs.entry(place.pack.clone()).or_insert_with(|| Shrink {
                pack: place.pack.clone(),
                dead: Vec::new(),
                kept: Vec::new(),
                freed: 0,
            });
            if stays(&place, touched_at) {
                shrink.kept.push(place);
            } else {
                shrink.dead.push(place.hash);
            }
        }
        let mut shrinks: Vec<Shrink> = packs.into_values().collect();
        for shrink in &mut shrinks {
            let length = fs::metadata(self.home.blobs().join(&shrink.pack)).map_or(0, |m| m.len());
            let kept: u64 = shrink.kept.iter().map(|place| place.size).sum();
            shrink.freed = length.saturating_sub(kept);
        }
        shrinks.retain(|shrink| shrink.freed > 0 || !shrink.dead.is_empty());
        shrinks
    }

    /// Removes dead trees and blobs and moves the rest of their packs, where nothing has changed.
    async fn carry_out(
        &self,
        plan: &Arc<Plan>,
        shrinks: Vec<Shrink>,
        collected: &mut Collected,
    ) -> Result<()> {
        let folder = self.home.blobs();
        let (own, blobs) = (Arc::clone(plan), folder.clone());
        let mut steps = Vec::with_capacity(shrinks.len());
        for shrink in shrinks {
            let from = folder.clone();
            steps.push(
                blocking(move || {
                    let moved = rewrite(&from, &shrink)?;
                    Ok((shrink, moved))
                })
                .await?,
            );
        }
        let done = self
            .db
            .write(move |tx| apply(tx, &own, &blobs, steps))
            .await?;
        let mut gone = Vec::new();
        for (shrink, moved, applied) in done {
            if applied {
                gone.push(folder.join(&shrink.pack));
                collected.blobs += shrink.dead.len() as u64;
                collected.bytes += shrink.freed;
            } else if let Some(moved) = moved {
                moved.discard();
            }
        }
        blocking(move || remove_all(&gone)).await
    }

    /// Files in the folder of packs that no row names and no living process writes.
    async fn collect_strays(&self, rows: &HashSet<String>, dry_run: bool) -> Result<u64> {
        let folder = self.home.blobs();
        let Ok(entries) = fs::read_dir(&folder) else {
            return Ok(0);
        };
        let mut bytes = 0;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if rows.contains(&name) {
                continue;
            }
            let Ok(file) = File::open(entry.path()) else {
                continue;
            };
            // The writer holds the lock until its rows are there, so this order is safe.
            if file.try_lock().is_err() {
                continue;
            }
            if !name.ends_with(UNFINISHED) && self.has_pack(name).await? {
                continue;
            }
            bytes += file.metadata().map_or(0, |metadata| metadata.len());
            if !dry_run {
                remove(&entry.path())?;
            }
        }
        Ok(bytes)
    }

    async fn has_pack(&self, pack: String) -> Result<bool> {
        let sql = "SELECT 1 FROM blobs WHERE pack = ?1 LIMIT 1";
        let found = self
            .db
            .read(move |tx| tx.one(sql, params![pack], |_| Ok(())))
            .await?;
        Ok(found.is_some())
    }

    /// Logs of runs that are gone.
    async fn collect_logs(&self, dry_run: bool) -> Result<u64> {
        let folder = self.home.root().join("logs");
        let mut bytes = 0;
        for workspace in numbered(&folder, "") {
            let below = folder.join(workspace.to_string());
            for run in numbered(&below, ".log") {
                let sql = "SELECT 1 FROM runs WHERE id = ?1 AND workspace_id = ?2";
                let found = self
                    .db
                    .read(move |tx| tx.one(sql, params![run, workspace], |_| Ok(())))
                    .await?;
                if found.is_none() {
                    let log = self.home.run_log(workspace, run);
                    bytes += fs::metadata(&log).map_or(0, |metadata| metadata.len());
                    if !dry_run {
                        remove(&log)?;
                    }
                }
            }
        }
        Ok(bytes)
    }
}

fn survey(tx: &Tx<'_>, cutoff: Time) -> Result<Survey> {
    // A dry run leaves the uploads that are over where they are.
    let held = format!("{HELD} WHERE upload_id IN (SELECT id FROM uploads WHERE expires_at > ?1)");
    let blob = |row: &super::db::Row<'_>| {
        let place = Place {
            hash: row.get(0)?,
            size: count(row, 1)?,
            pack: row.get(2)?,
            start: count(row, 3)?,
        };
        Ok((place, row.get(4)?))
    };
    Ok(Survey {
        trees: tx.all(
            "SELECT workspace_id, hash, touched_at FROM trees",
            &[],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?,
        used: used_trees(tx)?,
        artifacts: tx
            .all(&held, params![cutoff], |row| row.get(0))?
            .into_iter()
            .collect(),
        blobs: tx.all(
            "SELECT hash, size, pack, start, touched_at FROM blobs",
            &[],
            blob,
        )?,
    })
}

/// The trees that runs, with those they are still to make, models, assets and endpoints refer to, with
/// their workspaces.
fn used_trees(tx: &Tx<'_>) -> Result<HashSet<(i64, Hash)>> {
    let pair = |row: &super::db::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let runs = "SELECT DISTINCT workspace_id, snapshot FROM runs WHERE snapshot IS NOT NULL";
    let mut used: HashSet<(i64, Hash)> = tx.all(runs, &[], pair)?.into_iter().collect();
    used.extend(planned_trees(tx)?);
    let models = "SELECT DISTINCT m.workspace_id, v.tree FROM model_versions v \
                  JOIN models m ON m.id = v.model_id WHERE v.tree IS NOT NULL";
    used.extend(tx.all(models, &[], pair)?);
    let assets = "SELECT DISTINCT a.workspace_id, v.tree FROM asset_versions v \
                  JOIN assets a ON a.id = v.asset_id WHERE v.tree IS NOT NULL";
    used.extend(tx.all(assets, &[], pair)?);
    let endpoints = tx.all(
        "SELECT e.workspace_id, d.spec FROM deployments d JOIN endpoints e ON e.id = d.endpoint_id UNION ALL \
         SELECT e.workspace_id, d.good_spec FROM deployments d JOIN endpoints e ON e.id = d.endpoint_id \
         WHERE d.good_spec IS NOT NULL",
        &[],
        |row| Ok((row.get(0)?, json::<Deployment>(row, 1)?)),
    )?;
    for (workspace, deployment) in endpoints {
        let folder = deployment.program.and_then(|program| program.folder);
        let built = deployment.image.and_then(|image| match image {
            ImageBase::Build { folder, .. } => Some(folder),
            ImageBase::Named(_) => None,
        });
        let trees = deployment.code.into_iter().chain(folder).chain(built);
        used.extend(trees.map(|tree| (workspace, tree)));
    }
    Ok(used)
}

/// The code of runs that pipelines and sweeps have not begun yet: their plans say `snapshot`, wherever
/// the run is in them.
fn planned_trees(tx: &Tx<'_>) -> Result<Vec<(i64, Hash)>> {
    let sql = "SELECT DISTINCT r.workspace_id, t.value FROM driven_plans p \
               JOIN runs r ON r.id = p.run_id, json_tree(iif(json_valid(p.plan), p.plan, 'null')) t \
               WHERE r.ended_at IS NULL AND t.key = 'snapshot' AND t.type = 'text'";
    let named: Vec<(i64, String)> = tx.all(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let trees = named.into_iter();
    Ok(trees
        .filter_map(|(workspace, hash)| Some((workspace, Hash::parse(&hash).ok()?)))
        .collect())
}

/// Copies what is kept of a pack into a new one; none when nothing is.
fn rewrite(folder: &Path, shrink: &Shrink) -> Result<Option<Pack>> {
    use std::os::unix::fs::FileExt;
    if shrink.kept.is_empty() {
        return Ok(None);
    }
    let path = folder.join(&shrink.pack);
    let failed = |e: std::io::Error| io_error("read", &path, &e);
    let old = File::open(&path).map_err(failed)?;
    let mut new = PackWriter::create(folder)?;
    let mut buffer = vec![0; 1 << 20];
    for place in &shrink.kept {
        let mut at = 0;
        while at < place.size {
            let most = usize::try_from(place.size - at).unwrap_or(usize::MAX);
            let piece = &mut buffer[..most.min(1 << 20)];
            old.read_exact_at(piece, place.start + at).map_err(failed)?;
            new.write(piece)?;
            at += piece.len() as u64;
        }
        new.place(place.hash, place.size);
    }
    new.finish().map(Some)
}

type Step = (Shrink, Option<Pack>);

/// Changes the rows of packs none of whose dead blobs came into use; says for each whether it did.
fn apply(
    tx: &Tx<'_>,
    plan: &Plan,
    folder: &Path,
    steps: Vec<Step>,
) -> Result<Vec<(Shrink, Option<Pack>, bool)>> {
    let used = used_trees(tx)?;
    for (workspace, hash) in &plan.dead_trees {
        if !used.contains(&(*workspace, *hash)) {
            tx.execute(
                "DELETE FROM trees WHERE workspace_id = ?1 AND hash = ?2 AND touched_at < ?3",
                params![workspace, hash, plan.cutoff],
            )?;
        }
    }
    let mut in_use = HashSet::new();
    for tree in tx.all("SELECT DISTINCT hash FROM trees", &[], |row| row.get(0))? {
        if !plan.known_trees.contains(&tree) {
            let Some(place) = place(tx, tree)? else {
                return Err(damaged(tree));
            };
            let manifest = place.open(folder)?.read()?;
            in_use.insert(tree);
            in_use.extend(
                decode(&manifest)?
                    .entries
                    .into_iter()
                    .map(|entry| entry.hash),
            );
        }
    }
    let mut done = Vec::with_capacity(steps.len());
    for (shrink, moved) in steps {
        let applies = still_dead(tx, plan, &in_use, &shrink)?;
        if applies {
            for hash in &shrink.dead {
                tx.execute("DELETE FROM blobs WHERE hash = ?1", params![hash])?;
            }
            if let Some(pack) = &moved {
                for blob in &pack.blobs {
                    tx.execute(
                        "UPDATE blobs SET pack = ?2, start = ?3 WHERE hash = ?1",
                        params![blob.hash, pack.name, blob.start],
                    )?;
                }
            }
        }
        done.push((shrink, moved, applies));
    }
    Ok(done)
}

fn still_dead(tx: &Tx<'_>, plan: &Plan, in_use: &HashSet<Hash>, shrink: &Shrink) -> Result<bool> {
    for hash in &shrink.dead {
        let alive = tx.one(
            &format!(
                "SELECT touched_at >= ?2 OR EXISTS (SELECT 1 FROM ({HELD}) WHERE hash = ?1) \
                 FROM blobs WHERE hash = ?1"
            ),
            params![hash, plan.cutoff],
            |row| row.get(0),
        )?;
        if in_use.contains(hash) || alive != Some(false) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The numbers in names such as `12` or `12.log` in a folder.
fn numbered(folder: &Path, ending: &str) -> Vec<i64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| {
        let name = entry.file_name();
        name.to_str()?.strip_suffix(ending)?.parse().ok()
    };
    entries.filter_map(number).collect()
}

/// Removes files, several at once: a disk that is told of what is freed takes its time for each.
fn remove_all(paths: &[PathBuf]) -> Result<()> {
    let share = paths.len().div_ceil(AT_ONCE).max(1);
    thread::scope(|scope| {
        let each = |some: &[PathBuf]| some.iter().try_for_each(|path| remove(path));
        let removing = paths
            .chunks(share)
            .map(|some| scope.spawn(move || each(some)));
        let removing: Vec<_> = removing.collect();
        let lost = || Err(Error::internal("Removing files came down"));
        let ended = removing
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|_| lost()));
        ended.fold(Ok(()), Result::and)
    })
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io_error("remove", path, &e)),
        _ => Ok(()),
    }
}

fn damaged(tree: Hash) -> Error {
    Error::unavailable(format!("The entries of the tree {tree} are gone"))
        .hint("The state directory is damaged; restore it from a copy")
}
