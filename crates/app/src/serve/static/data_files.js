// Files that are dropped or chosen: all of them, and the class of each by its folder.

const PARTS = {
  train: "train", training: "train", val: "val", valid: "val", validation: "val", test: "test", testing: "test",
};
const IMAGE_FOLDERS = ["images", "image", "imgs", "img"];
const MASK_FOLDERS = [
  "masks", "mask", "lung masks", "lung_masks", "lungmasks", "segmentations", "segmentation", "annotations", "labels",
];
const OTHER_FILES = /\.(csv|tsv|txt|md|jsonl?|xml|html|pdf|zip|gz|tar|npz|npy|mat|ini|db|py|toml|ya?ml|safetensors)$/i;
const MAX_NAME = 60;
/** Most paths, or classes, that a sentence names. */
const MAX_NAMED = 20;

const partOf = (name) => PARTS[name.toLowerCase().trim()];
const isHidden = (name) => name.startsWith(".") || /^(__macosx|@eadir|thumbs\.db|desktop\.ini|dicomdir)$/i.test(name);

/** A name that a class can have, of that of a folder. */
export function className(name) {
  const plain = name.normalize("NFC").replace(/[^\p{Alphabetic}\p{N} _-]+/gu, "-").slice(0, MAX_NAME);
  return plain.replace(/^[ _-]+|[ _-]+$/g, "");
}

/** The files of an input, each with the folders that it is in: those of a folder that was chosen. */
export function chosenFiles(input) {
  return [...input.files].map((file) => ({ file, folders: file.webkitRelativePath.split("/").slice(0, -1) }));
}

/** The same of what was dropped, as `found`, and the paths of files and folders that the browser cannot read. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const dropped = { found: [], unreadable: [] };
  for (const entry of entries) await addEntry(entry, [], dropped);
  return dropped;
}

async function addEntry(entry, folders, dropped) {
  if (isHidden(entry.name)) return;
  const path = [...folders, entry.name];
  try {
    if (entry.isFile) {
      dropped.found.push({ file: await new Promise((done, failed) => entry.file(done, failed)), folders });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      // A browser gives a hundred at a time.
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (some.length === 0) return;
      for (const inner of some) await addEntry(inner, path, dropped);
    }
  } catch {
    dropped.unreadable.push(path.join("/"));
  }
}

/** Names in a sentence. */
export function listed(names) {
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : "";
  return `${names.slice(0, MAX_NAMED).join(", ")}${more}`;
}

/** A sentence on what the browser cannot read. */
export const unreadableText = (paths) => `The browser cannot read ${listed(paths)}.`;

/** Whether to go on without what the browser cannot read, which the user decides. */
export function isAccepted(unreadable) {
  return unreadable.length === 0 || confirm(`${unreadableText(unreadable)} Go on with the other files?`);
}

/** Whether all folders that were dropped or chosen at once are one. */
export function isSingleFolder(files) {
  return new Set(files.map(({ folders }) => folders[0]).filter(Boolean)).size < 2;
}

/** The folder of a patient, of those of an image: neither one of a set, such as train, nor of images, nor of `classes`. */
export function patientFolder(folders, classes = []) {
  const isOther = (name) => partOf(name) || IMAGE_FOLDERS.includes(name.toLowerCase()) || newNames([name], classes).length === 0;
  return folders.find((name) => !isOther(name));
}

const isInMasks = (folders) => folders.some((name) => MASK_FOLDERS.includes(name.toLowerCase()));

/** The name of a class in the form in which names are compared, about as by the loader. */
function comparable(name) {
  const words = className(name).normalize("NFKC").split(/[ _-]+/).join(" ");
  return words.length > 1 ? words.toLowerCase() : words;
}

/** The names that no known class has. */
export function newNames(names, known) {
  const taken = new Set(known.map(comparable));
  return names.filter((name) => !taken.has(comparable(name)));
}

/** Names for folders, by which no two folders become one. */
class FolderNames {
  originals = new Map();

  /** @param {string} what a class or a patient */
  constructor(what) {
    this.what = what;
  }

  /** The name for a folder; an error if it would be empty, or that of another folder. */
  of(original) {
    const name = className(original);
    if (!name) throw new Error(`The folder ${original} has no letter or digit, which the name of a ${this.what} needs. Rename it.`);
    const known = this.originals.get(name) ?? original;
    if (known !== original) {
      throw new Error(`The folders ${known} and ${original} would both become the ${this.what} ${name}, as other signs are left out. Rename one of them.`);
    }
    this.originals.set(name, original);
    return name;
  }
}

/**
 * The class of each image by its folder: the first folder that not all of them are in, or that is one of the classes `known`,
 * below folders such as train and test. A folder in it is a patient's. What has no class is left out. An error names folders
 * that can be no class or patient.
 */
export function placed(files, known = []) {
  const seen = files.filter(({ file, folders }) => ![...folders, file.name].some(isHidden));
  const images = seen.filter(({ file }) => !OTHER_FILES.test(file.name));
  const left = { other: seen.length - images.length, loose: 0, masks: 0 };
  if (images.length === 0) return { images: [], left };
  const first = images[0].folders;
  let n = 0;
  const isNew = (name) => newNames([name], known).length > 0;
  while (n < first.length && isNew(first[n]) && images.every(({ folders }) => folders[n] === first[n])) n += 1;
  const hasOthers = images.some(({ folders }) => folders.length > n);
  const above = first.slice(0, n);
  const partAbove = above.map(partOf).find(Boolean);
  const found = [];
  const [classes, patients] = [new FolderNames("class"), new FolderNames("patient")];
  for (const { file, folders } of images) {
    let rest = folders.slice(n);
    let part = partAbove ?? "train";
    if (rest.length > 0 && partOf(rest[0])) [part, rest] = [partOf(rest[0]), rest.slice(1)];
    if (rest.length === 0 && !hasOthers) rest = above.filter((name) => !partOf(name)).slice(-1);
    if (rest.length === 0) left.loose += 1;
    else if (isInMasks(rest.slice(1))) left.masks += 1;
    else {
      const patient = rest.slice(1).find((name) => !IMAGE_FOLDERS.includes(name.toLowerCase()));
      found.push({ file, part, class: classes.of(rest[0]), folder: patient && patients.of(patient) });
    }
  }
  return { images: found, left };
}

/**
 * What is dropped on a class, each file with the folder of its patient: one inside a single dropped folder, or one of several.
 * Those in folders of masks are left out.
 */
export function placedIn(name, files) {
  const isSingle = isSingleFolder(files);
  const patients = new FolderNames("patient");
  const images = [];
  for (const { file, folders } of files) {
    const inner = isSingle ? folders.slice(1) : folders;
    if (isInMasks(inner)) continue;
    const patient = patientFolder(inner, [name]);
    images.push({ file, class: className(name), folder: patient && patients.of(patient) });
  }
  return { images, nMasks: files.length - images.length };
}
