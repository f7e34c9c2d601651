/* tools/tarn/args.c - from argv to struct cli.
 *
 * Options may stand anywhere.  A word that begins with '-' and a digit is no
 * option, so that "-5" as a size gets an answer about sizes.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/cli.h"

enum option_value {
	VALUE_NONE,
	VALUE_MAY,  /* only as in --name=value */
	VALUE_MUST,
};

#define IN_CLI(field) offsetof(struct cli, field)

static const struct {
	const char       *name;
	uint64_t          bit; /* enum cli_option */
	enum option_value value;
	size_t            field; /* a string of struct cli; 0: none */
} options[] = {
	{ "--force", CLI_OPT_FORCE, VALUE_NONE, 0 },
	{ "--read-only", CLI_OPT_READ_ONLY, VALUE_NONE, 0 },
	{ "--redundancy", CLI_OPT_REDUNDANCY, VALUE_MUST, IN_CLI(redundancy) },
	{ "--domain", CLI_OPT_DOMAIN, VALUE_MUST, IN_CLI(domain) },
	{ "--disk", CLI_OPT_DISK, VALUE_MUST, 0 },
	{ "--from", CLI_OPT_FROM, VALUE_MUST, IN_CLI(from) },
	{ "--compress", CLI_OPT_COMPRESS, VALUE_MAY, IN_CLI(compress) },
	{ "--no-compress", CLI_OPT_NO_COMPRESS, VALUE_NONE, 0 },
	{ "--rate", CLI_OPT_RATE, VALUE_MUST, IN_CLI(rate) },
	{ "--resume", CLI_OPT_RESUME, VALUE_MUST, IN_CLI(resume) },
	{ "--progress", CLI_OPT_PROGRESS, VALUE_NONE, 0 },
	{ "--file", CLI_OPT_FILE, VALUE_MUST, IN_CLI(file) },
	{ "--base", CLI_OPT_BASE, VALUE_MUST, IN_CLI(base) },
	{ "--full", CLI_OPT_FULL, VALUE_NONE, 0 },
	{ "--keep-last", CLI_OPT_KEEP, VALUE_MUST, IN_CLI(keep_last) },
	{ "--keep-daily", CLI_OPT_KEEP, VALUE_MUST, IN_CLI(keep_daily) },
	{ "--keep-weekly", CLI_OPT_KEEP, VALUE_MUST, IN_CLI(keep_weekly) },
	{ "-n", CLI_OPT_DRY_RUN, VALUE_NONE, 0 },
	{ "--when-full", CLI_OPT_WHEN_FULL, VALUE_MUST, IN_CLI(when_full) },
	{ "--reserve", CLI_OPT_RESERVE, VALUE_MUST, IN_CLI(reserve) },
	{ "--keep-as", CLI_OPT_KEEP_AS, VALUE_MUST, IN_CLI(keep_as) },
	{ "--as", CLI_OPT_AS, VALUE_MUST, IN_CLI(as) },
	{ "--list", CLI_OPT_LIST, VALUE_NONE, 0 },
	{ "--abort", CLI_OPT_ABORT, VALUE_NONE, 0 },
	{ "--with-snapshots", CLI_OPT_WITH_SNAPSHOTS, VALUE_NONE, 0 },
	{ "--now", CLI_OPT_NOW, VALUE_NONE, 0 },
	{ "--wait", CLI_OPT_WAIT, VALUE_NONE, 0 },
	{ "--deleting", CLI_OPT_DELETING, VALUE_NONE, 0 },
	{ "-f", CLI_OPT_FOLLOW, VALUE_NONE, 0 },
	{ "--follow", CLI_OPT_FOLLOW, VALUE_NONE, 0 },
	{ "--since", CLI_OPT_SINCE, VALUE_MUST, IN_CLI(since) },
	{ "--exit-code", CLI_OPT_EXIT_CODE, VALUE_NONE, 0 },
	{ "--witness", CLI_OPT_WITNESS, VALUE_NONE, 0 },
	{ "-v", CLI_OPT_VERBOSE, VALUE_NONE, 0 },
	{ "--for", CLI_OPT_FOR, VALUE_MUST, IN_CLI(span) },
};

/* Common options with a value; 1: taken, 0: not one of them. */
static int set_common_value(struct cli *cli, const char *name,
			    const char *value, char *ret_err)
{
	if (strcmp(name, "--control") == 0) {
		cli->control = value;
		return 1;
	}
	if (strcmp(name, "--timeout") == 0) {
		cli->timeout_s = (uint64_t)atoi(value);
		if (cli->timeout_s == 0 || strlen(value) > 6 ||
		    strspn(value, "0123456789") != strlen(value))
			snprintf(ret_err, 512,
				 "--timeout: '%.40s' is not a number of "
				 "seconds", value);
		return 1;
	}
	return 0;
}

static bool set_common(struct cli *cli, const char *name)
{
	if (strcmp(name, "--json") == 0)
		cli->json = true;
	else if (strcmp(name, "-p") == 0)
		cli->exact = true;
	else if (strcmp(name, "-H") == 0)
		cli->bare = true;
	else if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		cli->help = true;
	else if (strcmp(name, "--version") == 0)
		cli->version = true;
	else if (strcmp(name, "-pH") == 0 || strcmp(name, "-Hp") == 0)
		cli->exact = cli->bare = true;
	else
		return false;
	return true;
}

/* Option i; value NULL: none was given. */
static void set_option(struct cli *cli, size_t i, const char *value,
		       char *ret_err)
{
	cli->given |= options[i].bit;
	if (options[i].value == VALUE_NONE && value != NULL)
		snprintf(ret_err, 512, "%s takes no value", options[i].name);
	else if (options[i].value == VALUE_MUST && value == NULL)
		snprintf(ret_err, 512, "%s needs a value", options[i].name);
	else if (options[i].field != 0)
		memcpy((char *)cli + options[i].field, &value, sizeof(value));
	else if (options[i].bit == CLI_OPT_DISK && cli->ndisks == CLI_ARGS_MAX)
		snprintf(ret_err, 512, "--disk: too many are given");
	else if (options[i].bit == CLI_OPT_DISK)
		cli->disks[cli->ndisks++] = value;
}

/* One option, "--name" or "--name=value"; next is the word after it.  Returns
 * how many words it took; ret_err is set when something is wrong. */
static int take_option(struct cli *cli, const char *word, const char *next,
		       char *ret_err)
{
	char        name[32];
	const char *eq = strchr(word, '=');
	const char *value = eq != NULL ? eq + 1 : next;
	int         words = eq != NULL ? 1 : 2;
	size_t      len = eq != NULL ? (size_t)(eq - word) : strlen(word);

	if (len < sizeof(name)) {
		memcpy(name, word, len);
		name[len] = '\0';
		if (eq == NULL && set_common(cli, name))
			return 1;
		for (size_t i = 0; i < ARRAY_LEN(options); i++) {
			if (strcmp(options[i].name, name) != 0)
				continue;
			if (options[i].value != VALUE_MUST && eq == NULL) {
				words = 1;
				value = NULL;
			}
			set_option(cli, i, value, ret_err);
			return words;
		}
		if (value != NULL && value[0] != '\0' &&
		    set_common_value(cli, name, value, ret_err) == 1)
			return words;
		if (strcmp(name, "--control") == 0 ||
		    strcmp(name, "--timeout") == 0) {
			snprintf(ret_err, 512, "%s needs a value", name);
			return 1;
		}
	}
	snprintf(ret_err, 512, "there is no option %.64s; see 'tarn help'",
		 word);
	return 1;
}

static bool is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0' &&
	       !isdigit((unsigned char)word[1]);
}

static const char *find_command(struct cli *cli,
				const struct cli_command *commands,
				unsigned ncommands, char *ret_err)
{
	const char *noun = cli->nargs > 0 ? cli->args[0] : NULL;
	const char *verb = cli->nargs > 1 ? cli->args[1] : NULL;
	bool        noun_known = false;
	unsigned    used = 1;

	if (noun == NULL) {
		snprintf(ret_err, 512,
			 "usage: tarn [OPTION...] COMMAND; 'tarn help' lists "
			 "the commands");
		return ret_err;
	}
	for (unsigned i = 0; i < ncommands && cli->command == NULL; i++) {
		const struct cli_command *c = &commands[i];

		if (strcmp(c->noun, noun) != 0)
			continue;
		noun_known = true;
		if (c->verb == NULL) {
			cli->command = c;
		} else if (verb != NULL && strcmp(c->verb, verb) == 0) {
			cli->command = c;
			used = 2;
		}
	}
	if (cli->command == NULL && noun_known) {
		snprintf(ret_err, 512,
			 "there is no such command as '%.40s%s%.40s'; 'tarn "
			 "help %s' lists those that there are", noun,
			 verb != NULL ? " " : "", verb != NULL ? verb : "",
			 noun);
		return ret_err;
	}
	if (cli->command == NULL) {
		snprintf(ret_err, 512,
			 "there is no such command as '%.40s'; 'tarn help' "
			 "lists those that there are", noun);
		return ret_err;
	}
	cli->nargs -= used;
	memmove(cli->args, cli->args + used,
		cli->nargs * sizeof(cli->args[0]));
	return NULL;
}

static const char *check_command(const struct cli *cli, char *ret_err)
{
	const struct cli_command *c = cli->command;

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if ((cli->given & options[i].bit & ~c->options) == 0)
			continue;
		snprintf(ret_err, 512, "'%s%s%s' takes no option %s", c->noun,
			 c->verb != NULL ? " " : "",
			 c->verb != NULL ? c->verb : "", options[i].name);
		return ret_err;
	}
	if (cli->nargs >= c->args_min && cli->nargs <= c->args_max)
		return NULL;
	snprintf(ret_err, 512, "usage: tarn %s%s%s%s%s", c->noun,
		 c->verb != NULL ? " " : "", c->verb != NULL ? c->verb : "",
		 c->args[0] != '\0' ? " " : ", which takes no arguments",
		 c->args);
	return ret_err;
}

const char *cli_parse(struct cli *cli, const struct cli_command *commands,
		      unsigned ncommands, int argc, char **argv, char *ret_err)
{
	const char *problem;
	bool        words_only = false;

	ret_err[0] = '\0';
	for (int i = 1; i < argc;) {
		if (!words_only && strcmp(argv[i], "--") == 0) {
			words_only = true;
			i++;
		} else if (!words_only && is_option(argv[i])) {
			i += take_option(cli, argv[i],
					 i + 1 < argc ? argv[i + 1] : NULL,
					 ret_err);
			if (ret_err[0] != '\0')
				return ret_err;
		} else if (cli->nargs == CLI_ARGS_MAX) {
			snprintf(ret_err, 512, "there are too many arguments");
			return ret_err;
		} else {
			cli->args[cli->nargs++] = argv[i++];
		}
	}
	if (cli->help || cli->version)
		return NULL;
	problem = find_command(cli, commands, ncommands, ret_err);
	if (problem == NULL)
		problem = check_command(cli, ret_err);
	return problem;
}
