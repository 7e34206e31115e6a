# SPDX-License-Identifier: MIT
#
# WEIR_BUILTINS(ALL, DEFAULT)
# Adds --enable-builtin=a,b. For each plugin in ALL it sets the conditional
# BUILTIN_NAME, sets $weir_builtins and $weir_modules, and writes
# lib/builtins.h, the list of plugins that are linked into libweir.
AC_DEFUN([WEIR_BUILTINS],
  [AC_ARG_ENABLE([builtin],
     [AS_HELP_STRING([--enable-builtin=NAMES],
        [plugins linked into libweir, of: $1 (default: $2; none: --disable-builtin)])],
     [AS_CASE([$enableval],
        [yes], [weir_wanted="$1"],
        [no], [weir_wanted=],
        [weir_wanted=`echo "$enableval" | tr , ' '`])],
     [weir_wanted="$2"])
   for weir_name in $weir_wanted; do
     AS_CASE([" $1 "], [*" $weir_name "*], [],
       [AC_MSG_ERROR([--enable-builtin: there is no plugin "$weir_name"; the plugins are: $1])])
   done
   weir_builtins= weir_modules=
   for weir_name in $1; do
     AS_CASE([" $weir_wanted "],
       [*" $weir_name "*], [weir_builtins="$weir_builtins $weir_name"],
       [weir_modules="$weir_modules $weir_name"])
   done
   m4_foreach_w([plugin], [$1],
     [AM_CONDITIONAL([BUILTIN_]m4_toupper(m4_translit(plugin, [-], [_])),
        [case " $weir_builtins " in *" plugin "*) true ;; *) false ;; esac])])
   AC_CONFIG_COMMANDS([lib/builtins.h],
     [mkdir -p lib
      { echo "/* Written by configure. */"
        echo "#include <weir/plugin.h>"
        for name in $weir_builtins; do
          echo "extern const weir_plugin weir_builtin_`echo $name | tr - _`;"
        done
        echo "static const weir_plugin *const builtin_plugins@<:@@:>@ = {"
        for name in $weir_builtins; do echo "    &weir_builtin_`echo $name | tr - _`,"; done
        echo "    NULL,"
        echo "};"
      } > lib/builtins.h],
     [weir_builtins="$weir_builtins"])])
