/**
 * JSON with comments as JSON: comments of both kinds become spaces, and so does a comma that nothing follows. Places stay
 * where they were. What stands inside a string is left alone; a comment that does not end is left for the parser to refuse.
 */
export function withoutComments(text: string): string {
  const blank = text.replaceAll(PIECES, (piece) => (piece.startsWith("/") ? spaces(piece) : piece));
  return blank.replaceAll(LAST_COMMAS, (piece) => (piece.startsWith('"') ? piece : ` ${piece.slice(1)}`));
}

// A string, or a comment: whichever begins first is taken whole. An unfinished string ends with its line.
const PIECES = /"(?:[^"\\\n]|\\.)*"?|\/\/[^\n]*|\/\*(?:[^*]|\*(?!\/))*\*\//g;
const LAST_COMMAS = /"(?:[^"\\\n]|\\.)*"?|,(?=\s*[\]}])/g;

function spaces(comment: string): string {
  return comment.replaceAll(/[^\n]/g, " ");
}
