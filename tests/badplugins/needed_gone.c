/* SPDX-License-Identifier: MIT */

/* Becomes libneeded_gone.so with the soname libweir_test_gone.so.9. */
extern int weir_test_gone(void);
int weir_test_gone(void) {
  return 1;
}
