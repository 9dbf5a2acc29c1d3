/* Encoding and decoding of k data regions and m coding regions by matrices.
 *
 * A matrix has m rows of k elements of GF(2^w), row after row; a bit matrix m*w rows of k*w bits, an int each. Matrices and
 * lists that are returned are freed by the caller with free(), schedules by jerasure_free_schedule(). Lists of erasures
 * hold ids of regions, data from 0, coding from k, and end with -1. A schedule is an array of pointers to five ints: from
 * region and packet, to region and packet, 1 for XOR or 0 for copy; it ends with one that begins with -1. */
#ifndef JERASURE_JERASURE_H
#define JERASURE_JERASURE_H

#ifdef __cplusplus
extern "C" {
#endif

int *jerasure_matrix_to_bitmatrix(int k, int m, int w, int *matrix);
int **jerasure_dumb_bitmatrix_to_schedule(int k, int m, int w, int *bitmatrix);
int **jerasure_smart_bitmatrix_to_schedule(int k, int m, int w, int *bitmatrix);
/* All pairs of losses; m = 2 only, NULL otherwise. */
int ***jerasure_generate_schedule_cache(int k, int m, int w, int *bitmatrix, int smart);
void jerasure_free_matrix(int *matrix);
void jerasure_free_schedule(int **schedule);
void jerasure_free_schedule_cache(int k, int m, int ***cache);

void jerasure_do_parity(int k, char **data_ptrs, char *parity_ptr, int size);
void jerasure_matrix_encode(int k, int m, int w, int *matrix, char **data_ptrs, char **coding_ptrs,
                            int size);
void jerasure_bitmatrix_encode(int k, int m, int w, int *bitmatrix, char **data_ptrs,
                               char **coding_ptrs, int size, int packetsize);
void jerasure_schedule_encode(int k, int m, int w, int **schedule, char **data_ptrs,
                              char **coding_ptrs, int size, int packetsize);

/* 0, or -1 when what is lost cannot be made. */
int jerasure_matrix_decode(int k, int m, int w, int *matrix, int row_k_ones, int *erasures,
                           char **data_ptrs, char **coding_ptrs, int size);
int jerasure_bitmatrix_decode(int k, int m, int w, int *bitmatrix, int row_k_ones, int *erasures,
                              char **data_ptrs, char **coding_ptrs, int size, int packetsize);
int jerasure_schedule_decode_lazy(int k, int m, int w, int *bitmatrix, int *erasures,
                                  char **data_ptrs, char **coding_ptrs, int size, int packetsize,
                                  int smart);
int jerasure_schedule_decode_cache(int k, int m, int w, int ***scache, int *erasures,
                                   char **data_ptrs, char **coding_ptrs, int size, int packetsize);

/* The matrix by which the first k survivors, whose ids go to dm_ids, make the data; 0 or -1. */
int jerasure_make_decoding_matrix(int k, int m, int w, int *matrix, int *erased,
                                  int *decoding_matrix, int *dm_ids);
int jerasure_make_decoding_bitmatrix(int k, int m, int w, int *matrix, int *erased,
                                     int *decoding_matrix, int *dm_ids);
/* k+m ints, 1 for what is lost; NULL for more than m. */
int *jerasure_erasures_to_erased(int k, int m, int *erasures);

void jerasure_matrix_dotprod(int k, int w, int *matrix_row, int *src_ids, int dest_id,
                             char **data_ptrs, char **coding_ptrs, int size);
void jerasure_bitmatrix_dotprod(int k, int w, int *bitmatrix_row, int *src_ids, int dest_id,
                                char **data_ptrs, char **coding_ptrs, int size, int packetsize);
void jerasure_do_scheduled_operations(char **ptrs, int **schedule, int packetsize);

/* 0 or -1. */
int jerasure_invert_matrix(int *mat, int *inv, int rows, int w);
int jerasure_invert_bitmatrix(int *mat, int *inv, int rows);
/* 1 or 0. */
int jerasure_invertible_matrix(int *mat, int rows, int w);
int jerasure_invertible_bitmatrix(int *mat, int rows);
int *jerasure_matrix_multiply(int *m1, int *m2, int r1, int c1, int r2, int c2, int w);

void jerasure_print_matrix(int *matrix, int rows, int cols, int w);
void jerasure_print_bitmatrix(int *matrix, int rows, int cols, int w);
/* Bytes of XORs, of multiplications and of copies since the last call. */
void jerasure_get_stats(double *fill_in);
int jerasure_autoconf_test(void);

#ifdef __cplusplus
}
#endif
#endif
