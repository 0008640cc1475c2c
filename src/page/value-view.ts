/** The value of the entry that is open, in the view that was chosen for it. */
import { make, the } from "./dom";
import { hexDump, pictureType, prettyJson, type Shown, textIn, type View, viewsOf } from "./values";

export class ValueView {
  private readonly place = the(HTMLElement, "value");
  private readonly choices = [...document.querySelectorAll<HTMLInputElement>('input[name="view"]')];
  private value: Shown | null = null;
  private picture: string | null = null;

  constructor() {
    for (const choice of this.choices) choice.addEventListener("change", () => this.draw());
  }

  /** @param isOther whether it is another entry than before, and is to be shown as suits it best */
  show(value: Shown, isOther: boolean): void {
    this.value = value;
    const views = viewsOf(value);
    for (const choice of this.choices) choice.disabled = !views.includes(choice.value as View);
    const chosen = this.choices.find(({ checked }) => checked);
    if (isOther || chosen === undefined || chosen.disabled)
      this.choices.find((choice) => choice.value === views[0])!.checked = true;
    this.draw();
  }

  clear(text: string): void {
    this.value = null;
    for (const choice of this.choices) choice.disabled = true;
    this.place.replaceChildren(text);
    this.forgetPicture();
  }

  private draw(): void {
    const { value } = this;
    if (value === null) return;
    this.forgetPicture();
    const view = this.choices.find(({ checked }) => checked)!.value as View;
    this.place.replaceChildren(view === "image" ? this.drawPicture(value) : textual(view, value));
  }

  /** Decoded from bytes that this page holds; a browser takes them for a picture of this type or for nothing. */
  private drawPicture(value: Shown): HTMLImageElement {
    const image = make("img");
    this.picture = URL.createObjectURL(new Blob([value.bytes], { type: pictureType(value)! }));
    image.alt = "The value, as a picture";
    image.onerror = () => this.place.replaceChildren("These bytes are no picture of this type.");
    image.src = this.picture;
    return image;
  }

  private forgetPicture(): void {
    if (this.picture !== null) URL.revokeObjectURL(this.picture);
    this.picture = null;
  }
}

function textual(view: View, value: Shown): HTMLPreElement {
  if (view === "hex") return make("pre", "hex", hexDump(value.bytes));
  return make("pre", "", (view === "json" ? prettyJson(value) : textIn(value)) ?? "");
}
