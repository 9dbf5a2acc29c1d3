/* Put in front of every C file, after all macros of the command line: a failed check must abort, because without
 * assertions the library falls through to memory errors. CFLAGS of the environment come last, and packagers set
 * -DNDEBUG there. */
#undef NDEBUG
