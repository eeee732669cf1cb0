// The keyboard on the page of one face: it starts at the heading, and Escape closes one thing.

const LISTS = "[role=listbox], [data-testid=stPopoverBody], [role=dialog]";

export default function () {
  // Not away from the buttons of the page: who turns leaves with them goes on doing so.
  const heading = document.querySelector("h1.reading");
  if (heading && !document.activeElement?.closest(".st-key-face_pager")) {
    heading.tabIndex = -1;
    heading.focus();
  }
  // Streamlit hears shortcuts at the document: one that closes a list ends beneath it.
  let open = false;
  const before = () => (open = document.querySelector(LISTS) !== null);
  const after = (event) => {
    if (event.key === "Escape" && open) event.stopPropagation();
  };
  window.addEventListener("keydown", before, true);
  document.body.addEventListener("keydown", after);
  return () => {
    window.removeEventListener("keydown", before, true);
    document.body.removeEventListener("keydown", after);
  };
}
