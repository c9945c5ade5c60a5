export function renderPage(_: unknown): string {
  return '';
}
