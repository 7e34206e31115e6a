# SPDX-License-Identifier: MIT
#
# WEIR_PLUGIN_INIT
# For the configure.ac of a plugin that lives outside weir's tree. Finds weir with
# pkg-config and sets, for Makefile.am:
#   WEIR_CFLAGS          to compile a plugin (it links no library of weir)
#   WEIR_PLUGIN_LDFLAGS  to link it as a module that fails at link time, not at
#                        run time, when a symbol is missing
#   weirplugindir        where "make install" puts it: weirplugin_LTLIBRARIES
# The plugin directory may be overridden with --with-weirplugindir=DIR.
AC_DEFUN([WEIR_PLUGIN_INIT],
  [AC_REQUIRE([PKG_PROG_PKG_CONFIG])
   PKG_CHECK_MODULES([WEIR], [weir])
   AC_ARG_WITH([weirplugindir],
     [AS_HELP_STRING([--with-weirplugindir=DIR], [where to install weir plugins])],
     [weirplugindir=$withval],
     [weirplugindir=`$PKG_CONFIG --variable=plugindir weir`])
   AC_SUBST([weirplugindir])
   AC_SUBST([WEIR_PLUGIN_LDFLAGS], ['-module -avoid-version -shared -Wl,-z,now -Wl,-z,defs'])])
