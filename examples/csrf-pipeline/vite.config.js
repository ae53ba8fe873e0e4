// React's JSX is all that the page needs of a compiler, and Vite has one.
export default {
  root: "web",
  build: { outDir: "../dist", emptyOutDir: true },
};
