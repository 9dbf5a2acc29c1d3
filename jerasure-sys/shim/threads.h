/* Stands in for <threads.h>, of which Jerasure uses only `thread_local`.
 *
 * With a field table for each thread, every thread that exits leaks its tables. Defined as
 * nothing there is one table for the process, which the caller must initialise before it lets
 * several threads in. It also lets the library compile where the C library has no <threads.h>. */
#ifndef JERASURE_SYS_SHIM_THREADS_H
#define JERASURE_SYS_SHIM_THREADS_H
#define thread_local
#endif
