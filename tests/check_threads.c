/* SPDX-License-Identifier: MIT */

/* Any function from any thread, and on in a child of fork(). Threads assert
 * nothing themselves: each keeps what went wrong, and the test reports it. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 32 };

typedef struct worker {
  pthread_t thread;
  unsigned index;
  problem problem;
  char wrong[512]; /* "" when all is well */
} worker;

static worker workers[THREADS];
static pthread_barrier_t barrier;
static weir_runtime *shared;
static atomic_bool stop;

static void note(worker *w, const char *what, weir_status status) {
  if (w->wrong[0] == '\0') {
    snprintf(w->wrong, sizeof w->wrong, "%s: %s: %.300s", what, weir_status_name(status), weir_last_error());
  }
}

static void run_workers(void *(*body)(void *), unsigned count) {
  pthread_barrier_init(&barrier, NULL, count);
  for (unsigned i = 0; i < count; i++) {
    workers[i].index = i;
    workers[i].wrong[0] = '\0';
    ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, body, &workers[i]), 0);
  }
  for (unsigned i = 0; i < count; i++) {
    pthread_join(workers[i].thread, NULL);
  }
  pthread_barrier_destroy(&barrier);
  for (unsigned i = 0; i < count; i++) {
    ck_assert_msg(workers[i].wrong[0] == '\0', "thread %u: %s", i, workers[i].wrong);
  }
}

static void make_problems(unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    problem_make(&workers[i].problem, 5 + i, 64 + 32 * (i % 7), 1 + i % 4, 32, i);
  }
}

static void free_problems(unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    problem_free(&workers[i].problem);
  }
}

/* Plans, runs and checks the worker's problem on a device of the runtime. */
static void solve(worker *w, weir_runtime *runtime, const char *device_name, unsigned times) {
  weir_device *device = NULL;
  weir_plan *plan = NULL;
  float *y = malloc((size_t)w->problem.m * w->problem.desc.n * sizeof *y);
  weir_status status = weir_device_open(runtime, device_name, &device);
  if (status != WEIR_OK) {
    note(w, "weir_device_open", status);
  } else if ((status = weir_plan_matvec(device, &w->problem.desc, &plan)) != WEIR_OK) {
    note(w, "weir_plan_matvec", status);
  }
  for (unsigned i = 0; status == WEIR_OK && i < times; i++) {
    if ((status = problem_run(&w->problem, device, plan, y)) != WEIR_OK) {
      note(w, "running", status);
    } else if (!problem_solved(&w->problem, y)) {
      note(w, "wrong result", WEIR_OK);
    }
  }
  weir_plan_free(plan);
  weir_device_close(device);
  free(y);
}

/* ---- Threads ------------------------------------------------------------ */

static void *use_first(void *arg) {
  worker *w = arg;
  weir_options options = {.struct_size = sizeof options, .plugin_path = plugin_directory()};
  weir_runtime *runtime = NULL;
  pthread_barrier_wait(&barrier);
  weir_status status = weir_open(&options, &runtime);
  if (status != WEIR_OK) {
    note(w, "weir_open", status);
    return NULL;
  }
  solve(w, runtime, "cpu:threads=2", 1);
  weir_close(runtime);
  return NULL;
}

START_TEST(test_first_use_by_many_threads) {
  clear_environment();
  make_problems(THREADS);
  run_workers(use_first, THREADS);
  free_problems(THREADS);
}
END_TEST

static void *share_runtime(void *arg) {
  worker *w = arg;
  pthread_barrier_wait(&barrier);
  solve(w, shared, w->index % 2 == 0 ? "cpu" : "cpu:threads=3", 10);
  return NULL;
}

START_TEST(test_many_threads_share_a_runtime) {
  shared = open_runtime(plugin_directory(), NULL);
  make_problems(THREADS);
  run_workers(share_runtime, THREADS);
  free_problems(THREADS);
  weir_close(shared);
}
END_TEST

static weir_device *shared_device;
static weir_plan *shared_plan;

static void *share_plan(void *arg) {
  worker *w = arg;
  float y[3 * 70];
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 10; i++) {
    weir_status status = problem_run(&workers[0].problem, shared_device, shared_plan, y);
    if (status != WEIR_OK) {
      note(w, "running", status);
    } else if (!problem_solved(&workers[0].problem, y)) {
      note(w, "wrong result", WEIR_OK);
    }
  }
  return NULL;
}

START_TEST(test_many_threads_share_a_plan) {
  shared = open_runtime(plugin_directory(), NULL);
  shared_device = open_device(shared, "cpu");
  problem_make(&workers[0].problem, 70, 512, 3, 64, 9);
  ASSERT_OK(weir_plan_matvec(shared_device, &workers[0].problem.desc, &shared_plan));
  run_workers(share_plan, THREADS);
  weir_plan_free(shared_plan);
  weir_device_close(shared_device);
  weir_close(shared);
  problem_free(&workers[0].problem);
}
END_TEST

/* Worker 0 changes the selection while the others plan. */
static void *select_and_plan(void *arg) {
  worker *w = arg;
  weir_matvec_desc desc = small_matvec();
  weir_device *device = NULL;
  pthread_barrier_wait(&barrier);
  weir_status status = weir_device_open(shared, "cpu", &device);
  for (int i = 0; status == WEIR_OK && i < 200; i++) {
    if (w->index == 0) {
      status = weir_select(shared, i % 2 == 0 ? "int4_matvec=tied_b" : "int4_matvec=tied_a");
      if (status == WEIR_OK && weir_select(shared, "int4_matvec=") != WEIR_E_SYNTAX) {
        note(w, "malformed text was taken", WEIR_OK);
      }
      continue;
    }
    weir_plan *plan = NULL;
    if ((status = weir_plan_matvec(device, &desc, &plan)) == WEIR_OK) {
      const char *name = weir_plan_plugin(plan);
      if (strcmp(name, "tied_a") != 0 && strcmp(name, "tied_b") != 0) {
        note(w, name, WEIR_OK);
      }
    }
    weir_plan_free(plan);
  }
  if (status != WEIR_OK) {
    note(w, "selecting or planning", status);
  }
  weir_device_close(device);
  return NULL;
}

START_TEST(test_selection_changes_while_others_plan) {
  shared = open_runtime(PLUGIN_PATH(bad_plugin("tied_a"), bad_plugin("tied_b"), bad_plugin("high")),
                        "int4_matvec=tied_a");
  run_workers(select_and_plan, 8);
  weir_close(shared);
}
END_TEST

static void *fail_alone(void *arg) {
  worker *w = arg;
  weir_matvec_desc desc = small_matvec();
  weir_plan *plan = NULL;
  if (weir_last_error()[0] != '\0') {
    note(w, "a new thread starts with a sentence", WEIR_OK);
  }
  char own[16];
  desc.k = 1000003 + 2 * w->index;
  snprintf(own, sizeof own, "%u", desc.k);
  weir_status status = weir_plan_matvec(shared_device, &desc, &plan);
  pthread_barrier_wait(&barrier);
  if (status != WEIR_E_SHAPE || !text_has(weir_last_error(), own)) {
    note(w, own, status);
  }
  return NULL;
}

START_TEST(test_each_thread_has_its_own_sentence) {
  shared = open_runtime(plugin_directory(), NULL);
  shared_device = open_device(shared, "cpu");
  run_workers(fail_alone, THREADS);
  ck_assert_str_eq(weir_last_error(), "");
  weir_device_close(shared_device);
  weir_close(shared);
}
END_TEST

static void *rescan_and_solve(void *arg) {
  worker *w = arg;
  pthread_barrier_wait(&barrier);
  uint32_t admitted = 7;
  weir_status status = weir_rescan(shared, &admitted);
  if (status != WEIR_OK || admitted != 0) {
    note(w, "weir_rescan", status);
  }
  solve(w, shared, "cpu", 1);
  return NULL;
}

START_TEST(test_rescan_while_others_work) {
  shared = open_runtime(plugin_directory(), NULL);
  make_problems(8);
  run_workers(rescan_and_solve, 8);
  free_problems(8);
  weir_close(shared);
}
END_TEST

/* ---- Fork --------------------------------------------------------------- */

/* What the child finds; an alarm ends a child that hangs. */
static int in_child(weir_runtime *runtime, weir_device *device, const weir_plan *plan, const problem *p) {
  signal(SIGALRM, SIG_DFL); /* Check's handler would kill the parent too */
  alarm(20);
  float *y = malloc((size_t)p->m * p->desc.n * sizeof *y);
  weir_plan *fresh = NULL;
  weir_device *second = NULL;
  weir_runtime *third = NULL;
  weir_options options = {.struct_size = sizeof options, .plugin_path = plugin_directory()};
  int wrong = 0;
  if (problem_run(p, device, plan, y) != WEIR_OK || !problem_solved(p, y)) {
    wrong = 1;
  } else if (weir_plan_matvec(device, &p->desc, &fresh) != WEIR_OK ||
             problem_run(p, device, fresh, y) != WEIR_OK || !problem_solved(p, y)) {
    wrong = 2;
  } else if (weir_device_open(runtime, "cpu:threads=2", &second) != WEIR_OK) {
    wrong = 3;
  } else if (weir_open(&options, &third) != WEIR_OK) {
    wrong = 4;
  }
  weir_plan_free(fresh);
  weir_device_close(second);
  weir_close(third);
  free(y);
  return wrong;
}

static void assert_child_works(weir_runtime *runtime, weir_device *device, const weir_plan *plan, const problem *p) {
  fflush(NULL);
  pid_t child = fork();
  ck_assert_int_ge(child, 0);
  if (child == 0) {
    _exit(in_child(runtime, device, plan, p));
  }
  int status = 0;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  ck_assert_msg(!WIFSIGNALED(status), "the child got signal %d%s", WTERMSIG(status),
                WTERMSIG(status) == SIGALRM ? ": it hung" : "");
  ck_assert_msg(WEXITSTATUS(status) == 0, "the child failed at step %d", WEXITSTATUS(status));
}

static weir_runtime *open_with_four_threads(void) {
  clear_environment();
  weir_options options = {.struct_size = sizeof options, .plugin_path = plugin_directory(), .threads = 4};
  weir_runtime *runtime = NULL;
  ASSERT_OK(weir_open(&options, &runtime));
  return runtime;
}

START_TEST(test_child_of_fork_works_on) {
  weir_runtime *runtime = open_with_four_threads();
  weir_device *device = open_device(runtime, "cpu");
  problem p;
  problem_make(&p, 300, 1024, 2, 32, 5);
  weir_plan *plan = NULL;
  float *y = malloc((size_t)p.m * p.desc.n * sizeof *y);
  ASSERT_OK(weir_plan_matvec(device, &p.desc, &plan));
  ASSERT_OK(problem_run(&p, device, plan, y));
  for (int i = 0; i < 3; i++) {
    assert_child_works(runtime, device, plan, &p);
    ASSERT_OK(problem_run(&p, device, plan, y));
    ck_assert(problem_solved(&p, y));
  }
  free(y);
  weir_plan_free(plan);
  weir_device_close(device);
  weir_close(runtime);
  problem_free(&p);
}
END_TEST

static void *work_until_stopped(void *arg) {
  worker *w = arg;
  pthread_barrier_wait(&barrier);
  while (!atomic_load(&stop) && w->wrong[0] == '\0') {
    solve(w, shared, "cpu", 1);
  }
  return NULL;
}

/* Threads that hold whatever locks there are do not exist in the child. */
START_TEST(test_child_of_fork_amid_work_works_on) {
  shared = open_with_four_threads();
  weir_device *device = open_device(shared, "cpu");
  problem p;
  problem_make(&p, 300, 1024, 2, 32, 6);
  weir_plan *plan = NULL;
  ASSERT_OK(weir_plan_matvec(device, &p.desc, &plan));
  make_problems(3);
  atomic_store(&stop, false);
  pthread_barrier_init(&barrier, NULL, 4);
  for (unsigned i = 0; i < 3; i++) {
    workers[i].wrong[0] = '\0';
    ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work_until_stopped, &workers[i]), 0);
  }
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 8; i++) {
    assert_child_works(shared, device, plan, &p);
  }
  atomic_store(&stop, true);
  for (unsigned i = 0; i < 3; i++) {
    pthread_join(workers[i].thread, NULL);
    ck_assert_msg(workers[i].wrong[0] == '\0', "thread %u: %s", i, workers[i].wrong);
  }
  pthread_barrier_destroy(&barrier);
  weir_plan_free(plan);
  weir_device_close(device);
  weir_close(shared);
  free_problems(3);
  problem_free(&p);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("threads");
  TCase *threads = tcase_create("threads");
  tcase_set_timeout(threads, 60);
  tcase_add_test(threads, test_first_use_by_many_threads);
  tcase_add_test(threads, test_many_threads_share_a_runtime);
  tcase_add_test(threads, test_many_threads_share_a_plan);
  tcase_add_test(threads, test_selection_changes_while_others_plan);
  tcase_add_test(threads, test_each_thread_has_its_own_sentence);
  tcase_add_test(threads, test_rescan_while_others_work);
  suite_add_tcase(suite, threads);
  TCase *fork = tcase_create("fork");
  tcase_set_timeout(fork, 60);
  tcase_add_test(fork, test_child_of_fork_works_on);
  tcase_add_test(fork, test_child_of_fork_amid_work_works_on);
  suite_add_tcase(suite, fork);
  return run_suite(suite);
}
