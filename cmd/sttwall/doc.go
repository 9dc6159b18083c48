// Command sttwall is a firewall for STT overlay networks.
//
// One file holds one subcommand: its flags, turned into the configuration of
// the package that does the work, one call, and the printing. No logic lives
// here.
//
// The exit status is 0 if all is well, 1 if something was refused or found,
// 2 if the command line was wrong.
package main
