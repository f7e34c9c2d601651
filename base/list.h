/* base/list.h - intrusive doubly linked list with a sentinel head.
 *
 * The caller owns every node; a node is in at most one list.  A node that is
 * in no list is initialised with list_init() and then list_empty() is true of
 * it, so "is it queued?" is list_empty(&x->link).
 */
#ifndef TARN_BASE_LIST_H
#define TARN_BASE_LIST_H

#include <stdbool.h>

#include "base/util.h"

struct list {
	struct list *next; /* first element, or the head itself */
	struct list *prev; /* last element, or the head itself */
};

static inline void list_init(struct list *l)
{
	l->next = l;
	l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_insert_between(struct list *n, struct list *prev,
				       struct list *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}

/* Make n the last element of head. */
static inline void list_push(struct list *head, struct list *n)
{
	list_insert_between(n, head->prev, head);
}

/* Make n the first element of head. */
static inline void list_push_front(struct list *head, struct list *n)
{
	list_insert_between(n, head, head->next);
}

/* Take n out of its list and leave it initialised; harmless if in none. */
static inline void list_remove(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

/* First element, taken out; NULL if empty.  Not by list_remove(), so that it
 * can be seen without knowing n->prev that head does not lead to n any more. */
static inline struct list *list_pop(struct list *head)
{
	struct list *n = head->next;

	if (n == head)
		return NULL;
	head->next = n->next;
	n->next->prev = head;
	list_init(n);
	return n;
}

/* Move all of from to the end of to; from is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)

#define list_first(head, type, member) \
	list_entry((head)->next, type, member)

#define list_for_each(it, head) \
	for (struct list *it = (head)->next; it != (head); it = it->next)

/* Safe against removal of the current element. */
#define list_for_each_safe(it, tmp, head)                               \
	for (struct list *it = (head)->next, *tmp = it->next;           \
	     it != (head); it = tmp, tmp = it->next)

#endif
