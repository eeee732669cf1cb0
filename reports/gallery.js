// A grid of faces: arrows move, Enter opens. Every word is set as text, never as markup.

const el = (name, className, text) => {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

const picture = (card) => {
  if (card.picture) {
    const image = el("img");
    image.src = card.picture;
    image.alt = "";
    image.decoding = "async";
    return image;
  }
  return el("span", "no-picture", card.missing);
};

// The stated interval on a common axis, with the true age as a tick.
const interval = (card) => {
  const track = el("span", "interval");
  if (card.interval) {
    const [low, high, truth] = card.interval;
    const bar = el("span", card.covered ? "bar" : "bar missed");
    bar.style.left = `${low}%`;
    bar.style.width = `${Math.max(high - low, 1)}%`;
    const tick = el("span", "truth");
    tick.style.left = `${truth}%`;
    track.append(bar, tick);
  }
  return track;
};

const face = (card, data) => {
  const button = el("button", "card");
  button.type = "button";
  button.dataset.id = card.id;
  button.setAttribute("aria-label", card.spoken);
  button.append(picture(card));
  const age = el("span", "age");
  age.append(el("span", "", card.age), el("span", "error", card.error));
  button.append(age);
  if (data.intervals) button.append(interval(card));
  if (data.genders) {
    const gender = el("span", card.wrong ? "gender wrong" : "gender");
    gender.append(el("span", "", card.gender), el("span", "score", card.score));
    button.append(gender);
  }
  const groups = el("span", "groups", card.groups);
  groups.title = card.groups;
  button.append(groups);
  return button;
};

const move = (event, grid) => {
  const cards = [...grid.children];
  const at = cards.indexOf(event.target.closest(".card"));
  if (at < 0) return;
  const across = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across };
  const to = event.key === "Home" ? 0 : event.key === "End" ? cards.length - 1 : at + steps[event.key];
  if (!(to >= 0 && to < cards.length)) return;
  event.preventDefault();
  cards[at].tabIndex = -1;
  cards[to].tabIndex = 0;
  cards[to].focus();
};

export default function ({ data, parentElement, setTriggerValue }) {
  const grid = parentElement.querySelector(".grid");
  const cards = data.cards.map((card) => face(card, data));
  const left = cards.find((card) => card.dataset.id === data.focus);
  for (const card of cards) card.tabIndex = card === (left ?? cards[0]) ? 0 : -1; // one stop for Tab; arrows do the rest
  grid.replaceChildren(...cards);
  left?.focus();
  grid.setAttribute("aria-label", data.label);
  grid.onkeydown = (event) => move(event, grid);
  grid.onclick = (event) => {
    const card = event.target.closest(".card");
    if (card) setTriggerValue("opened", card.dataset.id);
  };
}
