/* SPDX-License-Identifier: MIT */

/* A shared object that is no plugin. */
extern int weir_test_bystander(void);
int weir_test_bystander(void) {
  return 1;
}
