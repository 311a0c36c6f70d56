"""What the company says in chats by itself, in English and French.

An order is answered in the language it was written in; everything else in the language of the
person's own app. A language that is not here gets English.
"""

from collections.abc import Mapping
from typing import Any

PHRASES: Mapping[str, tuple[str, str]] = {
    "approve": ("✅ Approve", "✅ Approuver"),
    "edit": ("✏️ Edit", "✏️ Modifier"),
    "reject": ("❌ Reject", "❌ Refuser"),
    "accept": ("✅ Accept", "✅ Accepter"),
    "rework": ("🔁 Rework", "🔁 Retravailler"),
    "show_cost": ("💶 Show cost", "💶 Voir le coût"),
    "cancel_order": ("🗑 Cancel order", "🗑 Annuler"),
    "retry": ("▶️ Go on", "▶️ Reprendre"),
    "you_decide": ("🤷 You decide", "🤷 Décidez"),
    "send_again": ("Send again", "Renvoyer"),
    "is_here": ("It is here", "Je l'ai"),
    "as_answer": ("It is the answer", "C'est la réponse"),
    "as_edit": ("Change the plan", "Changer le plan"),
    "as_order": ("New order", "Nouvelle commande"),
    "resume": ("▶️ Resume", "▶️ Reprendre"),
    "plan": ("📋 Plan of {order}, revision {revision}", "📋 Plan de {order}, révision {revision}"),
    "goal": ("Goal: {goal}", "Objectif : {goal}"),
    "forecast": ("Forecast: {low} to {high} {currency}", "Prévision : {low} à {high} {currency}"),
    "forecast_unknown": (
        "Forecast: unknown, the model has no price",
        "Prévision : inconnue, le modèle n'a pas de prix",
    ),
    "budget_left": ("Budget left: {left} of {limit} {currency}", "Budget restant : {left} sur {limit} {currency}"),
    "baseline": (
        "A human team: {low} to {high} hours, most likely {likely}",
        "Une équipe humaine : {low} à {high} heures, sans doute {likely}",
    ),
    "signs": ("To sign: {name}", "À signer par : {name}"),
    "or_reply": ("Or reply with 1 to {count}.", "Ou répondez par 1 à {count}."),
    "reply_plan": (
        "Or reply: yes, no, or what should be different.",
        "Ou répondez : oui, non, ou ce qui doit changer.",
    ),
    "asks": ("❓ {who} asks ({order}):", "❓ {who} demande ({order}) :"),
    "reply_answer": ("Reply with your answer.", "Répondez à ce message."),
    "reply_answers": (
        "Reply with your answers, one numbered line each, or one text for all.",
        "Répondez par une ligne numérotée chacune, ou un texte pour toutes.",
    ),
    "signature": ("✍️ {who} wants to ({order}):", "✍️ {who} veut ({order}) :"),
    "until": ("Good until {until}.", "Valable jusqu'au {until}."),
    "in_file": ("[{count} characters: all of it is in {file}]", "[{count} signes : le tout est dans {file}]"),
    "delivered": ("📦 {order} is delivered", "📦 {order} est livré"),
    "files": ("Files:", "Fichiers :"),
    "disputed": ("Over the reviewer's objection: {text}", "Malgré l'objection du relecteur : {text}"),
    "receipt": ("Receipt: {text}", "Reçu : {text}"),
    "ended": ("{order} is {status}. {reason}", "{order} : {status}. {reason}"),
    "worker_dies": (
        "⚠️ What works your orders died {deaths} times in a row ({ended}). It is tried again; nothing is "
        "lost. `swarm doctor` and logs/swarm.log on the machine say more.",
        "⚠️ Le processus qui traite vos commandes est mort {deaths} fois de suite ({ended}). Il est "
        "relancé ; rien n'est perdu. `swarm doctor` et logs/swarm.log sur la machine en disent plus.",
    ),
    "database_away": (
        "⏳ I cannot reach my database at the moment. What you write is kept safely on this machine; I "
        "act on it as soon as the database is back.",
        "⏳ Je n'arrive pas à joindre ma base de données. Vos messages sont conservés sur cette machine ; "
        "je les traite dès qu'elle revient.",
    ),
    "database_back": (
        "My database was away for about {minutes} min and is back. Messages kept from this chat: "
        "{count}. I act on them now.",
        "Ma base de données a été absente environ {minutes} min ; elle est revenue. Messages conservés "
        "de cette discussion : {count}. Je les traite maintenant.",
    ),
    "taken": ("Order {order} is taken.", "Commande {order} prise."),
    "taken_paused": (
        "Order {order} is stored. The company is paused: /resume lets it begin.",
        "Commande {order} enregistrée. L'entreprise est en pause : /resume la lance.",
    ),
    "approved": ("Approved: {order} goes on.", "Approuvé : {order} continue."),
    "late": (
        "That came too late: {order} asks anew.",
        "Trop tard : {order} redemande.",
    ),
    "rejected": ("Refused: {order} is planned anew.", "Refusé : {order} est replanifié."),
    "refused_call": ("Refused; the role is told why.", "Refusé ; le rôle saura pourquoi."),
    "answered": ("Taken as your answer for {order}.", "Noté comme réponse pour {order}."),
    "answered_part": (
        "Taken. {count} more to answer for {order}.",
        "Noté. Encore {count} réponses pour {order}.",
    ),
    "chosen": ("Chosen for {order}: {option}", "Choisi pour {order} : {option}"),
    "accepted": ("Accepted: {order} is yours.", "Accepté : {order} est à vous."),
    "cancelled": ("{order} is cancelled.", "{order} est annulé."),
    "resumed_order": ("{order} goes on.", "{order} reprend."),
    "what_different": (
        "What should be different in {order}? Write it here; /never_mind leaves it as it is.",
        "Que faut-il changer dans {order} ? Écrivez-le ici ; /never_mind n'y touche pas.",
    ),
    "why_reject": (
        "Why is {order} refused? Write it here; /never_mind leaves it as it is.",
        "Pourquoi refuser {order} ? Écrivez-le ici ; /never_mind n'y touche pas.",
    ),
    "never_mind": ("Left as it was.", "Rien n'a changé."),
    "new_revision": (
        "Noted: {order} is planned anew, the old plan can no longer be approved.",
        "Noté : {order} est replanifié, l'ancien plan ne peut plus être approuvé.",
    ),
    "reworked": ("{order} goes back to work.", "{order} repart au travail."),
    "unclear": (
        "What is meant by this, while {order} waits for you?",
        "Que voulez-vous dire, alors que {order} vous attend ?",
    ),
    "not_shown": (
        "Something is on its way to you: read it first, then say so.",
        "Un message arrive : lisez-le d'abord, puis répondez.",
    ),
    "which": (
        "Several things wait for you: reply to the one you mean, or name it.\n{list}",
        "Plusieurs choses vous attendent : répondez à celle qui convient, ou nommez-la.\n{list}",
    ),
    "no_such_number": ("There is no option {number} here.", "Il n'y a pas d'option {number} ici."),
    "nothing_waits": ("Nothing waits for you.", "Rien ne vous attend."),
    "no_orders": ("No orders yet: write what you want done.", "Aucune commande : écrivez ce que vous voulez."),
    "greeting": ("Write what you want done; /help shows the rest.", "Écrivez ce que vous voulez ; /help montre le reste."),
    "note": (
        "Noted for {order}: all of its tasks have begun, so it counts when it is planned anew.",
        "Noté pour {order} : toutes ses tâches ont commencé, cela compte à la prochaine révision.",
    ),
    "replaced": ("{order} now has your new words.", "{order} a pris votre nouveau texte."),
    "edit_late": (
        "{order} has begun: your edit is kept as a note.",
        "{order} a commencé : votre modification est gardée en note.",
    ),
    "paused": (
        "⏸ Paused: nothing new starts, calls in flight end. /resume goes on.",
        "⏸ En pause : rien ne démarre, les appels en cours se terminent. /resume reprend.",
    ),
    "resumed": ("▶️ The company goes on.", "▶️ L'entreprise reprend."),
    "may_not": ("Your role ({role}) may not do that.", "Votre rôle ({role}) ne le permet pas."),
    "stranger": (
        "I do not know you yet. Your code is {code}, good for one hour. The operator lets you in "
        "with:\nswarm pairing approve {code}",
        "Je ne vous connais pas encore. Votre code : {code}, valable une heure. L'opérateur vous "
        "admet avec :\nswarm pairing approve {code}",
    ),
    "welcome": (
        "Welcome: you are {role} here. Write what you want done; /help shows the rest.",
        "Bienvenue : vous êtes {role} ici. Écrivez ce que vous voulez ; /help montre le reste.",
    ),
    "bad_code": ("That code is not good any more.", "Ce code n'est plus valable."),
    "group_closed": (
        "I do not listen in this group: the operator adds {chat} to {channel}.groups.",
        "Je n'écoute pas dans ce groupe : l'opérateur ajoute {chat} à {channel}.groups.",
    ),
    "no_voice": (
        "I cannot hear voice notes here: please write it.",
        "Je n'entends pas les messages vocaux ici : écrivez-le.",
    ),
    "voice_heard": (
        "🎙 I heard:\n“{text}”\nIs that the order?",
        "🎙 J'ai entendu :\n« {text} »\nEst-ce la commande ?",
    ),
    "voice_run": ("▶️ Run", "▶️ Lancer"),
    "voice_fix": ("✏️ Fix", "✏️ Corriger"),
    "voice_say": (
        "Write it as it should be: your next message is the order. /never_mind leaves it.",
        "Écrivez-le comme il faut : votre prochain message sera la commande. /never_mind l'annule.",
    ),
    "voice_empty": (
        "I heard no words in that note: say it again, or write it.",
        "Je n'ai entendu aucun mot : redites-le, ou écrivez-le.",
    ),
    "file_kept": (
        "I have {name}. What should I do with it? Your next message is the order.",
        "J'ai {name}. Que dois-je en faire ? Votre prochain message sera la commande.",
    ),
    "file_added": ("{name} is with {order}.", "{name} est joint à {order}."),
    "note_all": (
        "Noted for {order}: all of its tasks will see it.",
        "Noté pour {order} : toutes ses tâches le verront.",
    ),
    "note_ahead": (
        "Noted for {order}. These tasks have not begun and will see it; the others go on as they are:",
        "Noté pour {order}. Ces tâches n'ont pas commencé et le verront ; les autres continuent :",
    ),
    "edit_late_all": (
        "{order} has begun: your edit is kept as a note that all of its tasks will see.",
        "{order} a commencé : votre modification est une note que toutes ses tâches verront.",
    ),
    "edit_late_ahead": (
        "{order} has begun: your edit is kept as a note. These tasks have not begun and will see it:",
        "{order} a commencé : votre modification est une note. Ces tâches n'ont pas commencé et la verront :",
    ),
    "doubt": (
        "I cannot tell whether this message reached you:\n“{text}”\nSend it again?",
        "Je ne sais pas si ce message vous est parvenu :\n« {text} »\nLe renvoyer ?",
    ),
    "doubt_customer": (
        "I cannot tell whether this message reached a customer ({channel}):\n“{text}”\nSend it again?",
        "Je ne sais pas si ce message est parvenu à un client ({channel}) :\n« {text} »\nLe renvoyer ?",
    ),
    "sent_again": ("It is sent again.", "Il est renvoyé."),
    "effect_unknown": (
        "⚠️ I cannot tell whether this happened ({order}): {who} had begun `{tool}` when the machine "
        "stopped.\n```\n{arguments}\n```\nI do not do it again by myself. Look whether it was done: if "
        "not, reply to this message with what is to be done now.",
        "⚠️ Je ne sais pas si ceci a eu lieu ({order}) : {who} avait commencé `{tool}` quand la machine "
        "s'est arrêtée.\n```\n{arguments}\n```\nJe ne le refais pas de moi-même. Vérifiez si c'est fait : "
        "sinon, répondez à ce message par ce qu'il faut faire.",
    ),
    "good": ("Good.", "Bien."),
    "topic_gone": (
        "↪ The topic of {order} was closed or deleted: it goes on here.",
        "↪ Le sujet de {order} a été fermé ou supprimé : la suite est ici.",
    ),
    "quiet_unknown": (
        "No quiet hours: I do not know your time zone. Say for example /quiet 22-7 Europe/Paris",
        "Pas d'heures calmes : je ne connais pas votre fuseau. Écrivez par exemple /quiet 22-7 Europe/Paris",
    ),
    "quiet_zone": (
        "In which time zone? Say for example /quiet 22-7 Europe/Paris",
        "Dans quel fuseau horaire ? Écrivez par exemple /quiet 22-7 Europe/Paris",
    ),
    "quiet_on": (
        "🌙 Quiet {hours} ({zone}): only a decision that blocks work comes through; the rest waits. /quiet off",
        "🌙 Calme {hours} ({zone}) : seule une décision qui bloque le travail passe ; le reste attend. /quiet off",
    ),
    "quiet_off": ("No quiet hours ({zone}). /quiet 22-7", "Pas d'heures calmes ({zone}). /quiet 22-7"),
    "digest_at": ("Daily digest at {at}.", "Résumé quotidien à {at}."),
    "digest_off": ("No daily digest.", "Pas de résumé quotidien."),
    "digest": ("☀️ Your day, {day}", "☀️ Votre journée, {day}"),
    "digest_done": ("Done: {count}", "Fait : {count}"),
    "digest_waiting": ("Waiting for you: {count} (/inbox)", "Vous attend : {count} (/inbox)"),
    "digest_failed": ("Failed: {count}", "Échoué : {count}"),
    "digest_spent": ("Spent: {day} in {hours} h, {week} in 7 days", "Dépensé : {day} en {hours} h, {week} en 7 jours"),
    "digest_spent_of": (
        "Spent: {day} in {hours} h (budget {a_day} a day), {week} in 7 days (budget {a_week})",
        "Dépensé : {day} en {hours} h (budget {a_day} par jour), {week} en 7 jours (budget {a_week})",
    ),
    "digest_time": ("Your time this week: {minutes} min", "Votre temps cette semaine : {minutes} min"),
    "digest_time_of": (
        "Your time this week: {minutes} of {most} min",
        "Votre temps cette semaine : {minutes} sur {most} min",
    ),
    "thanks_feedback": ("Noted, thank you.", "Noté, merci."),
    "broke": (
        "Something inside broke; what you wrote is kept, and the operator finds the trace in the log.",
        "Un problème interne est survenu ; votre message est gardé, l'opérateur verra le journal.",
    ),
    "no_command": ("There is no command {name}. /help shows them.", "Pas de commande {name}. /help les montre."),
    "name_it": ("Say which: {usage}", "Dites lequel : {usage}"),
    "customer": (
        "This chat is the company's own: customers are served on its support channel.",
        "Ce canal est interne : les clients sont servis sur le canal d'assistance.",
    ),
    "customer_start": (
        "Hello, I am {company}'s AI assistant. Write your question; /human brings in a person.",
        "Bonjour, je suis l'assistant IA de {company}. Posez votre question ; /human fait venir une personne.",
    ),
    "customer_help": (
        "Write your question in your own words: I am an AI and answer from what {company} has "
        "written down. /human brings in a person; /forget deletes this conversation.",
        "Posez votre question avec vos mots : je suis une IA et réponds d'après ce que {company} a "
        "écrit. /human fait venir une personne ; /forget supprime cette conversation.",
    ),
    "customer_is_ai": (
        "I am {company}'s AI assistant; /human brings in a person.",
        "Je suis l'assistant IA de {company} ; /human fait venir une personne.",
    ),
    "customer_sources": ("Sources: {sources}", "Sources : {sources}"),
    "customer_no_command": (
        "There is no such command here: write your question, or /human for a person.",
        "Cette commande n'existe pas ici : posez votre question, ou /human pour une personne.",
    ),
    "customer_words_only": (
        "I can only read text here: please write it.",
        "Je ne lis que du texte ici : écrivez-le, s'il vous plaît.",
    ),
    "customer_heard": ("🎙 I heard: “{text}”", "🎙 J'ai entendu : « {text} »"),
    "customer_no_voice": (
        "I cannot hear voice notes here: please write it.",
        "Je n'entends pas les messages vocaux ici : écrivez-le, s'il vous plaît.",
    ),
    "customer_voice_empty": (
        "I heard no words in that note: please say it again, or write it.",
        "Je n'ai entendu aucun mot : redites-le, ou écrivez-le, s'il vous plaît.",
    ),
    "customer_voice_bad": (
        "I could not listen to that note: please write it, or say it shorter.",
        "Je n'ai pas pu écouter ce message : écrivez-le, ou dites-le en plus court.",
    ),
    "customer_file_refused": (
        "I could not take all of that: I take three files at a time of up to {mib} MiB each, and no "
        "programs.",
        "Je n'ai pas pu tout prendre : j'accepte trois fichiers à la fois, de {mib} Mio au plus chacun, "
        "et aucun programme.",
    ),
    "customer_forget": (
        "This deletes our conversation, your files, and what I remember of you, for good. Write "
        "/forget yes to do it.",
        "Ceci supprime pour de bon notre conversation, vos fichiers et ce que je sais de vous. Écrivez "
        "/forget oui pour le faire.",
    ),
    "customer_forget_later": (
        "I am just writing an answer to you: please write /forget yes again in a minute.",
        "Je suis en train de vous répondre : réécrivez /forget oui dans une minute.",
    ),
    "customer_forgotten": (
        "It is deleted: I know nothing of our conversation any more.",
        "C'est supprimé : je ne sais plus rien de notre conversation.",
    ),
    "customer_slow": (
        "That is more than I can answer at once: please write again in a while.",
        "C'est plus que je ne peux traiter d'un coup : réécrivez-moi un peu plus tard.",
    ),
    "customer_spent": (
        "I have answered all that I may for today. /human leaves word for a person.",
        "J'ai répondu à tout ce que je peux aujourd'hui. /human laisse un mot à une personne.",
    ),
    "customer_unknown": (
        "I do not know that.",
        "Je ne le sais pas.",
    ),
    "customer_handed": (
        "I have told a person at {company}, who will write to you here.",
        "J'ai prévenu une personne de {company}, qui vous écrira ici.",
    ),
    "customer_handed_already": (
        "A person at {company} knows already, and will write to you here.",
        "Une personne de {company} est déjà prévenue et vous écrira ici.",
    ),
    "customer_sorry": (
        "I cannot answer right now.",
        "Je ne peux pas répondre pour le moment.",
    ),
    "customer_human": ("{name}, {company}:\n{text}", "{name}, {company} :\n{text}"),
    "customer_taken": (
        "{name} of {company}, a person, answers you from here on.",
        "{name}, une personne de {company}, vous répond désormais.",
    ),
    "customer_given_back": (
        "The AI assistant answers again from here on; /human brings a person back.",
        "L'assistant IA répond de nouveau ; /human fait revenir une personne.",
    ),
    "handover": (
        "🙋 A customer waits for a person ({handover}).\n{name}, {channel}\nWhy: {reason}",
        "🙋 Un client attend une personne ({handover}).\n{name}, {channel}\nPourquoi : {reason}",
    ),
    "handover_how": (
        "Reply to this message to answer them, or press a button.",
        "Répondez à ce message pour lui répondre, ou appuyez sur un bouton.",
    ),
    "handover_by": ("{who} has taken it over.", "{who} s'en charge."),
    "handover_more": (
        "And {count} more customers wait: /inbox shows them when these are answered.",
        "Et {count} autres clients attendent : /inbox les montrera après ceux-ci.",
    ),
    "handover_order": ("Its order: {order}", "Sa commande : {order}"),
    "handover_said": ("🙋 {name} ({handover}) writes:", "🙋 {name} ({handover}) écrit :"),
    "handover_write": (
        "Write your answer to {name}: your next message here goes to the customer. /never_mind "
        "leaves it.",
        "Écrivez votre réponse à {name} : votre prochain message ira au client. /never_mind l'annule.",
    ),
    "handover_sent": ("It goes to {name}.", "C'est envoyé à {name}."),
    "handover_yours": (
        "{name} is yours: what they write comes here, and nothing of it is answered by me. Reply to "
        "answer.",
        "{name} est à vous : ses messages arrivent ici et je n'y réponds plus. Répondez-y.",
    ),
    "handover_late": (
        "Your answer to {name} is not sent yet: they wrote more than 24 hours ago, the platform takes "
        "it only once they write again, and no template is set that calls them "
        "(customers.whatsapp.template).",
        "Votre réponse à {name} n'est pas encore partie : son message date de plus de 24 heures, la "
        "plateforme ne la prendra que quand il écrira, et aucun modèle n'est défini pour l'appeler "
        "(customers.whatsapp.template).",
    ),
    "handover_called": (
        "Your answer to {name} is not sent yet: they wrote more than 24 hours ago. A template tells "
        "them that it waits; it is sent when they write.",
        "Votre réponse à {name} n'est pas encore partie : son message date de plus de 24 heures. Un "
        "modèle le prévient ; elle partira quand il écrira.",
    ),
    "handover_back": ("{name} is Support's again.", "{name} revient à l'assistance."),
    "answer_customer": ("✍️ Answer", "✍️ Répondre"),
    "take_over": ("🙋 Take over", "🙋 Prendre en charge"),
    "give_back": ("↩️ Give back", "↩️ Rendre"),
    "inner_order": ("📋 Open an internal order", "📋 Ouvrir une commande interne"),
    "forwarded": (
        "These are somebody else's words, so I do nothing with them by myself. Order it?",
        "Ce sont les mots d'un autre, je n'en fais rien de moi-même. Le commander ?",
    ),
    "spent": ("Spent on {order}: {text}", "Dépensé pour {order} : {text}"),
    "working_on": ("⏳ {order}: {goal}", "⏳ {order} : {goal}"),
    "thinking": ("⏳ {order}: the head thinks", "⏳ {order} : la direction réfléchit"),
}  # fmt: skip

STATUS: Mapping[str, tuple[str, str]] = {
    "queued": ("waits to be taken up", "attend son tour"),
    "working": ("is being worked on", "est en cours"),
    "waiting": ("waits for you", "vous attend"),
    "parked": ("is parked", "est à l'arrêt"),
    "delivered": ("is delivered", "est livré"),
    "accepted": ("is accepted", "est accepté"),
    "failed": ("failed", "a échoué"),
    "cancelled": ("was cancelled", "est annulé"),
}


def say(key: str, language: str | None, **facts: Any) -> str:
    """Return a phrase in a language, with its facts filled in."""
    english, french = PHRASES[key]
    return (french if language == "fr" else english).format(**facts)


def status(value: str, language: str | None) -> str:
    """Return where an order stands, as the end of a sentence."""
    english, french = STATUS[value]
    return french if language == "fr" else english
