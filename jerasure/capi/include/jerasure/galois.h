/* Arithmetic in GF(2^w), w = 1 to 32, of single elements and of regions. */
#ifndef JERASURE_GALOIS_H
#define JERASURE_GALOIS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* GF-Complete's field; only the functions that hand one over need its header. */
typedef struct gf gf_t;

extern gf_t *gfp_array[64];
extern int gfp_is_composite[64];

/* 0, or an errno value for a w without a field. */
int galois_init_default_field(int w);
int galois_uninit_field(int w);

/* Uses a field of the caller's for w. */
void galois_change_technique(gf_t *gf, int w);
gf_t *galois_get_field_ptr(int w);
gf_t *galois_init_field(int w, int mult_type, int region_type, int divide_type, uint64_t prim_poly,
                        int arg1, int arg2);
gf_t *galois_init_composite_field(int w, int region_type, int divide_type, int degree,
                                  gf_t *base_gf);

int galois_single_multiply(int a, int b, int w);
/* -1 for b = 0. */
int galois_single_divide(int a, int b, int w);
/* -1 for 0. */
int galois_inverse(int x, int w);

/* dest ^= src */
void galois_region_xor(char *src, char *dest, int nbytes);
void galois_w8_region_xor(void *src, void *dest, int nbytes);
void galois_w16_region_xor(void *src, void *dest, int nbytes);
void galois_w32_region_xor(void *src, void *dest, int nbytes);

/* region * multby goes to r2, is added to it if add is not 0, or replaces region if r2 is NULL. */
void galois_w08_region_multiply(char *region, int multby, int nbytes, char *r2, int add);
void galois_w16_region_multiply(char *region, int multby, int nbytes, char *r2, int add);
void galois_w32_region_multiply(char *region, int multby, int nbytes, char *r2, int add);

#ifdef __cplusplus
}
#endif
#endif
